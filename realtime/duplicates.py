"""Samples that were sent twice: the same values under the same timestamps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.streaming import Floats

# Stamps of a chunk are computed from one of them by the rate, so they may differ by rounding.
SAME_S = 1e-6


class Recent:
    """The newest samples, to know again those that come a second time.

    Drivers whose stamps overlap from packet to packet send other values: these are no duplicates.

    Parameters
    ----------
    contacts : columns.
    kept : how many samples are remembered.
    """

    def __init__(self, contacts: int, kept: int) -> None:
        self._kept = kept
        size = 2 * kept + 256
        self._samples: Floats = np.zeros((size, contacts), np.float32)
        self._stamps = np.zeros(size)
        self._count = 0

    def reset(self) -> None:
        """Forget everything."""
        self._count = 0

    def add(self, samples: Floats, stamps: NDArray[np.float64]) -> None:
        """Remember `(n, contacts)` samples, n up to 256."""
        end = self._count + len(stamps)
        if end > len(self._stamps):
            old = slice(self._count - self._kept, self._count)
            self._samples[: self._kept] = self._samples[old]
            self._stamps[: self._kept] = self._stamps[old]
            self._count, end = self._kept, self._kept + len(stamps)
        self._samples[self._count : end] = samples
        self._stamps[self._count : end] = stamps
        self._count = end

    def repeated(self, samples: Floats, stamps: NDArray[np.float64]) -> int:
        """How many of these samples, from the first one on, were here before."""
        known = self._stamps[: self._count]
        same = np.flatnonzero(np.abs(known - stamps[0]) < SAME_S)
        if not len(same):
            return 0
        at = int(same[-1])
        n = min(len(stamps), self._count - at)
        equal = np.abs(known[at : at + n] - stamps[:n]) < SAME_S
        # Bits, not values: NaN is equal to itself here.
        old, new = self._samples[at : at + n], np.ascontiguousarray(samples[:n])
        equal &= (old.view(np.uint32) == new.view(np.uint32)).all(axis=1)
        return n if equal.all() else int(np.argmin(equal))
