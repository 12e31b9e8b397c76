"""A clean source: samples with the times they were taken at, and what its stream says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.streaming import Floats

Times = NDArray[np.float64]
Samples = NDArray[Any]
"""Samples of a stream, `(n, channels)`, in its own type and unit."""
_BLOCK = 1024


class Block(NamedTuple):
    """Consecutive samples.

    `samples` `(n, channels)`, a list of rows where they are strings; `times` `(n,)` when they were
    taken, never falling; `stamps` `(n,)` what their timestamps say, which a driver may get wrong.
    """

    samples: Any
    times: Times
    stamps: Times

    def part(self, rows: Any) -> Block:
        """Some rows: a slice, or a mask of them where samples are numbers."""
        return Block(self.samples[rows], self.times[rows], self.stamps[rows])


Blocks = Iterator[Block]


@dataclass(frozen=True)
class Description:
    """What an outlet says of itself.

    `fs` is the nominal rate, Hz; `unit` is of every channel, and `dtype` the sample format (numpy's
    name of it), which integers saturate in. `uv` is how many microvolts one unit of the samples is
    that faults are put into.
    """

    labels: tuple[str, ...]
    fs: Fraction
    name: str
    source_id: str
    type: str = "EEG"
    channel_type: str = "SEEG"
    unit: str = "microvolts"
    dtype: str = "float32"
    uv: float = 1.0


def array_blocks(seeg: Floats, fs: Fraction, total: int | None = None) -> Blocks:
    """Blocks of `(n, contacts)` microvolts and `(n,)` seconds from the first sample.

    Sample `i` lies at `i / fs`, rounded once, so nothing drifts, and its stamp says the truth.
    `total` samples in all, from the start again where the array ends; None goes on for ever.
    """
    for start in count(0, _BLOCK):
        end = start + _BLOCK if total is None else min(start + _BLOCK, total)
        if end <= start:
            return
        rows = np.arange(start, end)
        # Integers below 2**53 are exact: the one rounding is that of the division.
        times: Times = rows * np.float64(fs.denominator) / np.float64(fs.numerator)
        yield Block(np.take(seeg, rows % len(seeg), axis=0), times, times)
