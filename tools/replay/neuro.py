"""Streams of what MNE-Python reads, and of Micromed TRC: all channels in one, marks in another.

Channels with a unit of voltage are sent in microvolts, others as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import RecordingError
from realtime.recordings.amplitude import Unit, known_unit, microvolts_in
from realtime.recordings.clocks import stated
from realtime.recordings.contacts import brief
from realtime.recordings.micromed import open_micromed
from realtime.recordings.mne_files import open_mne
from realtime.recordings.options import Options
from realtime.recordings.sidecars import cell, channels_of
from realtime.recordings.source import Source, contacts_of
from tools.faults.source import Blocks, Times
from tools.replay.describe import description
from tools.replay.marks import marker_stream, marks_of
from tools.replay.streams import About, Opened, RecordedStream, rising

_VALUES = 1 << 18
"""In one block: 2 MB while they are float64."""


def open_neuro(file: Path, unit: Unit | None) -> Opened:
    """Open a file of one rate.

    Parameters
    ----------
    unit : what one unit of the contacts is, instead of what the file says.

    Raises
    ------
    RecordingError
        If it cannot be read, holds no samples, or the unit of a contact is not known.
    """
    options = Options(unit=unit)
    source = open_micromed(file) if file.suffix.lower() == ".trc" else open_mne(file, options)
    if source.samples < 1:
        raise RecordingError(f"{file} holds no samples", "a recording")
    contacts, notes = contacts_of(source, options)
    streams = [_seeg(source, set(contacts), unit)]
    if marks := marks_of(file, source.marks):
        streams.append(marker_stream(f"{file.stem}-markers", marks))
    kept = [note for note in notes if not note.startswith("no contacts, left out")]
    return Opened(streams, [*source.notes, *kept])


def _seeg(source: Source, contacts: set[int], unit: Unit | None) -> RecordedStream:
    factors, units = _factors(source, contacts, unit)
    rate, count = stated(source.rate_hz), len(source.channels)
    listed = channels_of(source.file)
    about = About(
        name=source.file.stem,
        type="EEG",
        source_id=f"seegvox-{source.file.stem}",
        format="float32",
        channels=count,
        rate_hz=float(rate),
        desc=description(
            [channel.name for channel in source.channels],
            units,
            [cell(listed.get(c.name, {}), "type") or c.type for c in source.channels],
        ),
    )
    every = list(range(count))

    def pieces(first: int) -> Iterator[tuple[Any, Times]]:
        rows = max(1, _VALUES // count)
        for start in range(first, source.samples, rows):
            stop = min(start + rows, source.samples)
            values = (source.read(every, start, stop) * factors).astype(np.float32)
            yield values, _times(np.arange(start, stop), rate)

    def blocks(since_s: float) -> Blocks:
        first = max(0, int(since_s * float(rate)) - 1) if since_s > 0 else 0
        return rising(pieces(first))

    last_s = float(Fraction(source.samples - 1) / rate)
    return RecordedStream(about, source.samples, 0.0, last_s, blocks)


def _times(index: Any, rate: Fraction) -> Times:
    # Integers below 2**53 are exact: the one rounding is that of the division.
    times: Times = index * np.float64(rate.denominator) / np.float64(rate.numerator)
    return times


def _factors(source: Source, contacts: set[int], unit: Unit | None) -> tuple[Any, list[str]]:
    """What to multiply each channel by, and the unit that it is sent in."""
    known = [known_unit(text) for text in source.units]
    if unit is not None:
        known = [microvolts_in(unit) if i in contacts else k for i, k in enumerate(known)]
    unknown = [source.channels[i].name for i in sorted(contacts) if known[i] is None]
    if unknown:
        said = sorted({source.units[i] or "no unit" for i in contacts})
        raise RecordingError(
            f"{source.file}: the unit of {brief(unknown)} is not known ({', '.join(said)})",
            "a unit of voltage for every contact",
            "state it: --unit uV, mV or V",
        )
    factors = np.array([1.0 if k is None else k for k in known])
    units = ["microvolts" if k is not None else u for k, u in zip(known, source.units, strict=True)]
    return factors, units
