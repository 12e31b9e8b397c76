"""The montage: ordered, named contacts, matched by label and never by position."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import MontageError

_NAME = re.compile(r"^(?P<shaft>.*?\D)(?P<number>\d+)$")


@dataclass(frozen=True)
class Contact:
    """One recording site: its label and where it sits."""

    name: str
    shaft: str
    number: int

    @classmethod
    def parse(cls, name: str) -> Contact:
        """Shaft and number from a label such as `LA12` or `B'3`; a bare word is its own shaft."""
        match = _NAME.match(name.strip())
        if match is None:
            return cls(name.strip(), name.strip(), 0)
        return cls(name.strip(), match["shaft"], int(match["number"]))


@dataclass(frozen=True)
class Match:
    """How a stream's channels serve a montage.

    `columns[i]` is the stream's column for contact `i`, or -1 for a contact that was given up.
    """

    columns: tuple[int, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    reordered: bool


def match_labels(
    wanted: Sequence[str], found: Sequence[str], allow_missing: Sequence[str] = ()
) -> Match:
    """Find each wanted contact among the labels found.

    Raises
    ------
    MontageError
        If a label occurs twice, or a contact is missing that was not given up by name.
    """
    repeated = sorted({label for label in found if list(found).count(label) > 1} & set(wanted))
    if repeated:
        raise MontageError(
            f"labels found more than once in the stream: {_listed(repeated)}",
            "every contact once",
            "name the channels uniquely at the amplifier",
        )
    place = {label: i for i, label in enumerate(found)}
    missing = tuple(name for name in wanted if name not in place)
    extra = tuple(label for label in found if label not in set(wanted))
    columns = tuple(place.get(name, -1) for name in wanted)
    present = [c for c in columns if c >= 0]
    reordered = present != sorted(present)
    refused = [name for name in missing if name not in set(allow_missing)]
    if refused:
        raise MontageError(
            f"{len(refused)} of {len(wanted)} contacts are missing: {_listed(refused)}; "
            f"extra in the stream: {_listed(extra) or 'none'}; "
            f"order {'differs' if reordered else 'agrees'}",
            "every contact the bundle was trained on",
            "check the montage at the amplifier, or give contacts up by name with --allow-missing",
        )
    return Match(columns, missing, extra, reordered)


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > most else shown
