"""The signal front end: microvolts in montage order to clipped z-scores, causal and stateful.

guard -> notches and bands -> re-reference -> rectify -> z-score, clipped. The trainer's features
come from this object too; there is no second implementation.

Filters are linear and the same for every contact, so they commute with re-referencing. Behind them
a contact that leaves an average, or joins it, makes no step that they would ring on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.filters import FilterBank, Sections, design_band
from models.guard import Guard, Mask
from models.moments import Seconds, good_seconds, moments
from models.normalise import Statistics, make_normaliser
from models.reference import Reference
from models.spec import FrontEndSpec
from models.streaming import Floats

__all__ = ["FrontEnd", "Statistics", "fit_statistics"]


class FrontEnd:
    """Front end of one run; a `Stage` from `(n, contacts)` microvolts to `(n, channels)`.

    A channel that needs a masked contact gives 0, the mean. The contact's filters hold no state;
    in the second half of the guard's clean time they start, as if the first value had stood for
    ever, and have settled, line noise and all, when the contact returns.

    Parameters
    ----------
    spec : what to apply.
    contacts : the montage, in the order of the input's columns.
    fs : sampling rate, Hz.
    statistics : of the training data, or of a calibration; rolling ones begin with them. None
        leaves features unscaled (for fitting them).
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
        self.spec, self.fs = spec, fs
        self.sections = list(sections or [design_band(spec, band, fs) for band in spec.bands])
        self._guard = Guard(len(contacts), fs, spec.guard)
        self._reference = Reference(spec.reference, contacts)
        self._given_up = np.isin(np.array(contacts), np.array(spec.bad_contacts, dtype=str))
        self._banks = [FilterBank(s, len(contacts)) for s in self.sections]
        self.channels = len(self._reference.names) * len(self._banks)
        self.channel_names = tuple(
            f"{name} {band.low_hz:g}-{band.high_hz:g} Hz"
            for band in spec.bands
            for name in self._reference.names
        )
        self._normaliser = make_normaliser(spec, fs, self.channels, statistics)
        self.reset()

    def reset(self) -> None:
        """Forget all input."""
        self._guard.reset()
        self._normaliser.reset()
        for bank in self._banks:
            bank.reset()
        self.masked = np.ones(len(self._given_up), np.bool_)
        self._unfiltered = self.masked.copy()

    def step(self, block: Floats) -> Floats:
        """Features `(n, channels)` of `(n, contacts)` microvolts."""
        masked, unfiltered = (mask | self._given_up for mask in self._guard.judge(block))
        clean = np.where(unfiltered, 0.0, block.astype(np.float64))
        out = np.empty((len(block), self.channels), np.float32)
        for start, stop in _constant_rows(masked, unfiltered):
            self._start_filters(unfiltered[start], clean[start])
            self.masked = masked[start].copy()
            out[start:stop] = self._segment(clean[start:stop])
        return out

    def _start_filters(self, unfiltered: Mask, first: NDArray[np.float64]) -> None:
        if np.array_equal(unfiltered, self._unfiltered):
            return
        for bank in self._banks:
            bank.clear(unfiltered)
            bank.settle(self._unfiltered & ~unfiltered, first)
        self._unfiltered = unfiltered.copy()

    def _segment(self, clean: NDArray[np.float64]) -> NDArray[np.float64]:
        bands = [self._reference.step(bank.step(clean), self.masked) for bank in self._banks]
        filtered = np.concatenate(bands, axis=1)
        idle = np.tile(self._reference.mask(self.masked), len(self._banks))
        return self._normaliser.step(np.abs(filtered) if self.spec.rectify else filtered, idle)


def _constant_rows(*masks: Mask) -> Iterator[tuple[int, int]]:
    """Spans of rows over which no mask changes."""
    if len(masks[0]) == 0:
        return
    changes = [(mask[1:] != mask[:-1]).any(axis=1) for mask in masks]
    cuts = np.flatnonzero(np.logical_or.reduce(changes)) + 1
    edges = [0, *cuts.tolist(), len(masks[0])]
    yield from pairwise(edges)


def fit_statistics(front_end: FrontEnd, parts: Sequence[Floats]) -> Statistics:
    """Mean and standard deviation of an unscaled front end's output over training parts.

    Masked samples give exactly 0 and are left out, and so are seconds full of artefacts (see
    `models.moments`). A channel that was masked throughout gets mean 0 and deviation 1.
    """
    seconds = Seconds(front_end.channels, front_end.fs)
    for part in parts:
        front_end.reset()
        for start in range(0, len(part), 4096):
            seconds.feed(front_end.step(part[start : start + 4096]).astype(np.float64))
        seconds.close()
    front_end.reset()
    table = seconds.table()
    _, mean, deviation = moments(*table, good_seconds(table[0], table[2]))
    return Statistics(mean, np.where(deviation > 0, deviation, 1.0))
