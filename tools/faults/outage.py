"""The outlet that goes away and comes back, as it was or as another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tools.faults.occurrences import Occurrence, Occurrences
from tools.faults.packets import Note, Packet, Packets
from tools.faults.plan import Loss
from tools.faults.source import Description


@dataclass(frozen=True)
class Close:
    """The outlet goes away at `due`."""

    due: float


@dataclass(frozen=True)
class Open:
    """An outlet with this description appears at `due`; `columns` of the source are its own."""

    due: float
    description: Description
    columns: tuple[int, ...] = ()


def lose_outlet(
    packets: Packets, losses: list[Occurrences], description: Description, note: Note
) -> Iterator[Packet | Open | Close]:
    """Close and open; drop what is due while there is no outlet, and send in the new montage."""
    columns = np.arange(len(description.labels))
    whole, closed_until = description, float("-inf")
    pending: Open | None = None
    for packet in packets:
        new = [o for loss in losses for o in loss.begun(packet.due)]
        for occurrence in sorted(new, key=lambda o: o.start):
            note(occurrence.told())
            yield Close(occurrence.start)
            columns, now = montage_of(occurrence, whole)
            opened = Open(occurrence.end, now, tuple(columns.tolist()))
            pending, closed_until = opened, occurrence.end
        if packet.due < closed_until:
            continue
        if pending is not None:
            yield pending
            pending = None
        same = np.array_equal(columns, np.arange(len(whole.labels)))
        yield packet if same else replace(packet, samples=packet.samples[:, columns])
    if pending is not None:
        yield pending


def montage_of(occurrence: Occurrence, whole: Description) -> tuple[NDArray[np.intp], Description]:
    """Columns of the source that the returning outlet has, and what it says of itself."""
    fault = occurrence.fault
    assert isinstance(fault, Loss)
    kept = [i for i, label in enumerate(whole.labels) if label not in fault.drop]
    columns = np.array(kept[::-1] if fault.reverse else kept, dtype=np.intp)
    labels = tuple(fault.rename.get(whole.labels[i], whole.labels[i]) for i in columns)
    fs = whole.fs if fault.fs_hz is None else Fraction(fault.fs_hz)
    return columns, replace(
        whole, labels=labels, fs=fs, source_id=fault.source_id or whole.source_id
    )
