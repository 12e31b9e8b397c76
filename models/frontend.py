"""The signal front end: microvolts in montage order to clipped z-scores, causal and stateful.

guard -> re-reference -> notches and bands -> rectify -> z-score, clipped. The trainer's features
come from this object too; there is no second implementation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.filters import FilterBank, Sections, design_band
from models.guard import Guard, Mask
from models.reference import Reference
from models.spec import FrontEndSpec
from models.streaming import Floats


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation per feature channel, of unmasked training samples."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


class FrontEnd:
    """Front end of one run; a `Stage` from `(n, contacts)` microvolts to `(n, channels)`.

    A masked channel gives 0, the training mean, and its filters hold no state meanwhile; when it
    returns, its filters start as if its first good value had stood for ever.

    Parameters
    ----------
    spec : what to apply.
    contacts : the montage, in the order of the input's columns.
    fs : sampling rate, Hz.
    statistics : of the training data; none leaves features unscaled (for fitting them).
    sections : filter cascades from a bundle, one per band; designed from `spec` if none.
    """

    latency = Fraction(0)

    def __init__(
        self,
        spec: FrontEndSpec,
        contacts: Sequence[str],
        fs: Fraction,
        statistics: Statistics | None = None,
        sections: Sequence[Sections] | None = None,
    ) -> None:
        self.spec = spec
        self.sections = list(sections or [design_band(spec, band, fs) for band in spec.bands])
        self._guard = Guard(len(contacts), fs, spec.guard)
        self._reference = Reference(spec.reference, contacts)
        self._given_up = np.isin(np.array(contacts), np.array(spec.bad_contacts, dtype=str))
        derived = len(self._reference.names)
        self._banks = [FilterBank(s, derived) for s in self.sections]
        self.channels = derived * len(self._banks)
        self.channel_names = tuple(
            f"{name} {band.low_hz:g}-{band.high_hz:g} Hz"
            for band in spec.bands
            for name in self._reference.names
        )
        self._mean = np.zeros(self.channels) if statistics is None else statistics.mean
        self._scale = np.ones(self.channels) if statistics is None else 1.0 / statistics.std
        self._clip = np.inf if statistics is None else spec.clip
        self.reset()

    def reset(self) -> None:
        """Forget all input."""
        self._guard.reset()
        for bank in self._banks:
            bank.reset()
        self.masked = np.ones(len(self._given_up), np.bool_)
        self._idle = np.ones(self.channels // len(self._banks), np.bool_)

    def step(self, block: Floats) -> Floats:
        """Features `(n, channels)` of `(n, contacts)` microvolts."""
        mask = self._guard.step(block) | self._given_up
        clean = np.where(mask, 0.0, block.astype(np.float64))
        out = np.empty((len(block), self.channels), np.float32)
        for start, stop in _constant_rows(mask):
            out[start:stop] = self._segment(clean[start:stop], mask[start])
        return out

    def _segment(self, x: NDArray[np.float64], masked: Mask) -> NDArray[np.float64]:
        derived = self._reference.step(x, masked)
        if not np.array_equal(masked, self.masked):
            # An average loses or gains a member: a step in every channel, which its filters see.
            self._change_mask(masked, derived[0])
        derived = np.where(self._idle, 0.0, derived)
        filtered = np.concatenate([bank.step(derived) for bank in self._banks], axis=1)
        scaled = (np.abs(filtered) if self.spec.rectify else filtered) - self._mean
        scaled = np.clip(scaled * self._scale, -self._clip, self._clip)
        return np.where(np.tile(self._idle, len(self._banks)), 0.0, scaled)

    def _change_mask(self, masked: Mask, first: NDArray[np.float64]) -> None:
        idle = self._reference.mask(masked)
        for bank in self._banks:
            bank.clear(idle)
            bank.settle(self._idle & ~idle, first)
        self.masked, self._idle = masked.copy(), idle


def _constant_rows(mask: Mask) -> Iterator[tuple[int, int]]:
    """Spans of rows over which the mask does not change."""
    if len(mask) == 0:
        return
    cuts = np.flatnonzero((mask[1:] != mask[:-1]).any(axis=1)) + 1
    edges = [0, *cuts.tolist(), len(mask)]
    yield from pairwise(edges)


def fit_statistics(front_end: FrontEnd, parts: Sequence[Floats]) -> Statistics:
    """Mean and standard deviation of an unscaled front end's output over training parts.

    Masked samples give exactly 0 and are left out. A channel that was masked throughout gets mean
    0 and deviation 1.
    """
    count = np.zeros(front_end.channels)
    total, square = np.zeros_like(count), np.zeros_like(count)
    for part in parts:
        front_end.reset()
        for start in range(0, len(part), 4096):
            y = front_end.step(part[start : start + 4096]).astype(np.float64)
            count += np.count_nonzero(y, axis=0)
            total += y.sum(axis=0)
            square += (y * y).sum(axis=0)
    front_end.reset()
    n = np.maximum(count, 1)
    mean = total / n
    deviation = np.sqrt(np.maximum(square / n - mean**2, 0.0))
    return Statistics(mean, np.where(deviation > 0, deviation, 1.0))
