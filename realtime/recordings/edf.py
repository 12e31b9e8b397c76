"""What EDF, EDF+, BDF and BDF+ say of themselves and MNE keeps to itself.

Format: Kemp & Olivan 2003, Clin Neurophysiol 114:1755 (EDF+); https://www.edfplus.info/specs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError

_FIXED, _PER_SIGNAL = 256, 256
# Bytes of each signal before its number of samples: label, transducer, unit, four limits, filters.
_BEFORE_COUNT = 16 + 80 + 8 + 4 * 8 + 80
_CLOCK_BYTES = 24
_GAP_S = 1e-3


@dataclass(frozen=True)
class EdfHeader:
    """Labels and samples per record of each signal; `continuous` is false for EDF+D."""

    file: Path
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    records: int
    record_s: float
    sample_bytes: int
    continuous: bool

    @property
    def record_bytes(self) -> int:
        """Size of one record."""
        return sum(self.counts) * self.sample_bytes


def read_edf_header(file: Path) -> EdfHeader:
    """Read the header of an EDF or BDF file.

    Raises
    ------
    RecordingError
        If it is cut short or no such header.
    """
    with file.open("rb") as stream:
        fixed = stream.read(_FIXED)
        try:
            signals = int(fixed[252:256])
            records, record_s = int(fixed[236:244]), float(fixed[244:252])
            rest = stream.read(signals * _PER_SIGNAL)
            starts = [signals * _BEFORE_COUNT + 8 * i for i in range(signals)]
            counts = tuple(int(rest[start : start + 8]) for start in starts)
        except ValueError as err:
            raise RecordingError(
                f"{file} has a damaged header ({err})",
                "a complete EDF or BDF file",
                "copy it again",
            ) from err
    labels = tuple(rest[16 * i : 16 * i + 16].decode("latin-1").strip() for i in range(signals))
    sample_bytes = 3 if fixed[:1] == b"\xff" else 2
    continuous = fixed[192:197] not in (b"EDF+D", b"BDF+D")
    return EdfHeader(file, labels, counts, records, record_s, sample_bytes, continuous)


def check_continuous(header: EdfHeader) -> None:
    """Refuse a file with pauses: MNE would close them, and all that follows would be too early.

    Amplifiers call files EDF+D that have no pause; the clock of each record tells.

    Raises
    ------
    RecordingError
        If there is a pause, or the clock of a record cannot be read.
    """
    if header.continuous:
        return
    steps = np.diff(_record_clock(header)) - header.record_s
    if len(steps) and np.abs(steps).max() > _GAP_S:
        first = int(np.argmax(np.abs(steps) > _GAP_S))
        raise RecordingError(
            f"{header.file} pauses for {steps[first]:.3f} s after {first + 1} records "
            f"({(first + 1) * header.record_s:g} s)",
            "a recording without pauses: what follows would not match the audio",
            "export its parts as files of their own",
        )


def check_equal_rates(header: EdfHeader, contacts: list[str]) -> None:
    """Refuse contacts at different rates.

    Raises
    ------
    RecordingError
        If there are any.
    """
    counts = {
        count
        for label, count in zip(header.labels, header.counts, strict=True)
        if label in contacts
    }
    if len(counts) > 1:
        rates = ", ".join(f"{count / header.record_s:g}" for count in sorted(counts))
        raise RecordingError(
            f"the contacts in {header.file} have different sampling rates: {rates} Hz",
            "one rate",
            "name the contacts of one rate",
        )


def _record_clock(header: EdfHeader) -> NDArray[np.float64]:
    """Onset of each record in seconds, from the first annotation of each (EDF+ 2.2.4)."""
    signal = next((i for i, label in enumerate(header.labels) if "Annotations" in label), None)
    if signal is None:
        raise RecordingError(f"{header.file} is EDF+D without annotations", "a clock per record")
    start = len(header.labels) * _PER_SIGNAL + _FIXED
    records = (header.file.stat().st_size - start) // header.record_bytes
    stored = np.memmap(header.file, np.uint8, "r", start, (records, header.record_bytes))
    first = sum(header.counts[:signal]) * header.sample_bytes
    heads = np.asarray(stored[:, first : first + _CLOCK_BYTES])
    try:
        return np.array([float(bytes(head).split(b"\x14")[0].split(b"\x15")[0]) for head in heads])
    except ValueError as err:
        raise RecordingError(
            f"{header.file} has a record without its time ({err})", "a complete EDF+D file"
        ) from err
