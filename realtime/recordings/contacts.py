"""Which channels of a recording are contacts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.errors import RecordingError

NEURAL = frozenset({"SEEG", "ECOG", "DBS"})
_UNSURE = frozenset({"", "EEG"})
"""Types that say little: readers give EEG to whatever has no type, and sidecars copy it."""

# Whole names, after the type some amplifiers put before and the reference they put behind. Short
# words need a digit or nothing behind them as stated: PR is a pulse rate, PR1 a contact.
_OTHER = re.compile(
    r"(EEG|SEEG|ECOG|POL)?\s*"
    r"((E[CK]G|[VH]?EOG|EMG|DC|TRIG(GER)?|TTL|MKR|MARK(ER)?|MISC|STIM?|STATUS|EVENT|RESP|PULSE?"
    r"|PLETH|SP?O2|SAO2|OSAT|ETCO2|BEAT|AUDIO|MIC|PHOTO(DIODE)?|SOUND|GND|GROUND|AUX)"
    r"[ _]?[LR]?\d*|PR|HR|\$?[EX]?|(EDF|BDF)? ?ANNOTATIONS?|-+)"
    r"([+-]|-(REF|G\d))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Channel:
    """A channel as the file and its sidecar know it; types in BIDS words, empty if not known.

    `unit` is the header's, empty if it has none.
    """

    name: str
    type: str = ""
    listed_type: str = ""
    unit: str = ""


def chosen(
    channels: Sequence[Channel], wanted: Sequence[str] | None
) -> tuple[list[int], list[str]]:
    """Places of the contacts among the channels, and notes on what was left out.

    Parameters
    ----------
    channels : in the order of the file.
    wanted : names to take, in this order, whatever their type; None decides by type and name. The
        type in channels.tsv comes before the file's. A channel that is called EEG, or nothing, is
        a contact if no other is typed as one, its name is not that of something else (EKG, DC,
        TRIG, ...), and it has the unit that most of them have (auxiliary inputs have another).

    Raises
    ------
    RecordingError
        If a label is there twice, a wanted one is missing, or no contact is left.
    """
    names = [channel.name for channel in channels]
    _check_unique(names if wanted is None else list(wanted))
    if wanted is not None:
        _check_found(wanted, names)
        return [names.index(name) for name in wanted], []
    typed = any(_type(channel) in NEURAL for channel in channels)
    places = _typed(channels) if typed else _untyped(channels)
    if not places:
        raise RecordingError(
            f"none of the {len(names)} channels is a contact by type or name: "
            + brief(f"{channel.name} ({_type(channel) or 'no type'})" for channel in channels),
            "contacts",
            "correct the types in channels.tsv, or name the contacts",
        )
    left = [channel for i, channel in enumerate(channels) if i not in set(places)]
    return places, _notes(channels, places, left, typed)


def looks_other(name: str) -> bool:
    """Whether a name is that of something which is no contact."""
    return _OTHER.fullmatch(name.strip()) is not None


def brief(names: Iterable[str], most: int = 12) -> str:
    """The first names, and how many there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _type(channel: Channel) -> str:
    return (channel.listed_type or channel.type).upper()


def _typed(channels: Sequence[Channel]) -> list[int]:
    return [i for i, channel in enumerate(channels) if _type(channel) in NEURAL]


def _untyped(channels: Sequence[Channel]) -> list[int]:
    possible = [
        i
        for i, channel in enumerate(channels)
        if _type(channel) in _UNSURE and not looks_other(channel.name)
    ]
    units = Counter(channels[i].unit for i in possible)
    usual = units.most_common(1)[0][0] if units else ""
    return [i for i in possible if channels[i].unit == usual]


def _notes(
    channels: Sequence[Channel], places: list[int], left: list[Channel], typed: bool
) -> list[str]:
    notes = []
    if left:
        notes.append(f"no contacts, left out: {brief(channel.name for channel in left)}")
    if not typed:
        notes.append(f"no channel is typed as a contact; {len(places)} were taken by name")
    odd = [channels[i].name for i in places if looks_other(channels[i].name)]
    if odd:
        notes.append(f"kept as contacts for their type, though not by name: {brief(odd)}")
    return notes


def _check_unique(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecordingError(
            f"labels found more than once: {brief(twice)}",
            "every contact once",
            "name the channels uniquely in the file",
        )


def _check_found(wanted: Sequence[str], names: list[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise RecordingError(
            f"no channels {brief(missing)}", f"some of: {brief(names)}", "correct the contacts"
        )
