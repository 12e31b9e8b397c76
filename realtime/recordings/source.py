"""An opened file of samples, whatever library opened it, and how it becomes a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from realtime.recordings.amplitude import Unit, check_amplitude, known_unit, microvolts_in
from realtime.recordings.clocks import stated
from realtime.recordings.contacts import Channel, brief, chosen
from realtime.recordings.options import Options
from realtime.recordings.recording import Recording, Trial
from realtime.recordings.scratch import gathered
from realtime.recordings.sidecars import cell, channels_of
from realtime.recordings.trials import inside, listed_trials, marked_trials


@dataclass(frozen=True)
class Source:
    """A file that hands out its samples in pieces.

    Parameters
    ----------
    channels : names and types, in the order of the file.
    units : per channel, the unit of what `read` gives; empty where the file does not say.
    read : `(places, start, stop)` to `(stop - start, places)` float64 in those units.
    marks : onset and duration in seconds from the first sample, and text.
    files : those that the library says it reads, if it says so.
    """

    file: Path
    rate_hz: float
    samples: int
    channels: list[Channel]
    units: list[str]
    read: Callable[[list[int], int, int], NDArray[np.float64]]
    marks: list[tuple[float, float, str]] = field(default_factory=list)
    bad: tuple[str, ...] = ()
    line_hz: float | None = None
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def contacts_of(source: Source, options: Options) -> tuple[list[int], list[str]]:
    """Places of the contacts, and notes, by the file, its channels.tsv and the options.

    Raises
    ------
    RecordingError
        If there is none, or a label is there twice.
    """
    rows = channels_of(source.file)
    listed = {name: cell(row, "type") for name, row in rows.items()}
    channels = [
        Channel(channel.name, channel.type, listed.get(channel.name, ""), unit)
        for channel, unit in zip(source.channels, source.units, strict=True)
    ]
    places, notes = chosen(channels, options.contacts)
    unknown = [channels[i].name for i in places if channels[i].name not in rows]
    if rows and unknown:
        notes.append(f"channels.tsv does not list {brief(unknown)}")
    return places, notes


def recorded(source: Source, options: Options) -> Recording:
    """Read the contacts of a source; without audio.

    Raises
    ------
    RecordingError
        If there are no samples or contacts, or the unit is unknown or implausible.
    """
    if source.samples < 1:
        raise RecordingError(f"{source.file} holds no samples", "a recording")
    places, notes = contacts_of(source, options)
    fs, factors = stated(source.rate_hz), _factors(source, places, options.unit)
    notes += _unit_notes(source, places)

    def read(start: int, stop: int) -> NDArray[np.float64]:
        return source.read(places, start, stop) * factors

    seeg = gathered((source.samples, len(places)), read)
    if options.unit is None:
        said = f"{source.file.name} in {brief(sorted({source.units[i] for i in places}))}"
        check_amplitude(seeg, fs, said, float(np.median(factors)))
    trials, more = _trials(source, options, float(Fraction(len(seeg)) / fs))
    labels = tuple(source.channels[i].name for i in places)
    return Recording(
        path=source.file,
        seeg=seeg,
        fs=fs,
        labels=labels,
        audio=np.zeros(0, np.float32),
        audio_rate=float(fs),
        audio_start_s=0.0,
        trials=trials,
        notes=(*source.notes, *notes, *more),
        bad_contacts=tuple(label for label in labels if label in set(source.bad)),
        line_hz=source.line_hz,
        files=source.files,
    )


def _trials(
    source: Source, options: Options, seconds: float
) -> tuple[tuple[Trial, ...], list[str]]:
    notes: list[str] = []
    trials = listed_trials(source.file, options.events)
    if trials is None:
        trials, notes = marked_trials(source.marks)
    kept, more = inside(trials, seconds)
    return kept, [*notes, *more, *([] if kept else ["it has no trials"])]


def _factors(source: Source, places: list[int], unit: Unit | None) -> NDArray[np.float64]:
    """Microvolts in one unit, per contact."""
    if unit is not None:
        return np.full(len(places), microvolts_in(unit))
    factors = [known_unit(source.units[i]) for i in places]
    unknown = [source.channels[i].name for i, f in zip(places, factors, strict=True) if f is None]
    if unknown:
        said = sorted({source.units[i] or "no unit" for i in places})
        raise RecordingError(
            f"{source.file}: the unit of {brief(unknown)} is not known ({', '.join(said)})",
            "a unit of voltage for every contact",
            "state it: unit='uV', 'mV', 'V' or how many microvolts one unit is",
        )
    return np.array(factors, np.float64)


def _unit_notes(source: Source, places: list[int]) -> list[str]:
    """A note where channels.tsv contradicts the header, which scales its own numbers."""
    rows = channels_of(source.file)
    other = {}
    for i in places:
        listed = cell(rows.get(source.channels[i].name, {}), "units")
        if listed and known_unit(listed) != known_unit(source.units[i]):
            other[source.channels[i].name] = (source.units[i], listed)
    if not other:
        return []
    own, listed = next(iter(other.values()))
    return [
        f"the header says {own!r}, channels.tsv {listed!r} for {brief(other)}; the header was taken"
    ]
