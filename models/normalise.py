"""Z-scores of features: by fixed statistics, or by statistics that follow the signal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.guard import Mask
from models.spec import FrontEndSpec

Doubles = NDArray[np.float64]

UPDATE_S = Fraction(1, 10)
LEAST_STD = 0.1
"""Rolling deviations stay above this part of those they began with."""


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation per feature channel, of unmasked samples."""

    mean: Doubles
    std: Doubles


class Normaliser(Protocol):
    """Features `(n, channels)` to z-scores; state, if any, carried from block to block."""

    def step(self, x: Doubles, idle: Mask) -> Doubles:
        """Z-scores, clipped; `idle` `(channels,)`: the masked ones, which give 0."""
        ...

    def reset(self) -> None:
        """Return to the state of a fresh object."""
        ...


def make_normaliser(
    spec: FrontEndSpec, fs: Fraction, channels: int, statistics: Statistics | None
) -> Normaliser:
    """The one that a spec asks for; without statistics features stay unscaled."""
    if statistics is None:
        unscaled = Statistics(np.zeros(channels), np.ones(channels))
        return Fixed(unscaled, np.inf)
    if spec.normalise == "training":
        return Fixed(statistics, spec.clip)
    return Rolling(statistics, spec.clip, fs, Fraction(str(spec.rolling_s)))


class Fixed:
    """The same statistics throughout."""

    def __init__(self, statistics: Statistics, clip: float) -> None:
        self._mean, self._scale, self._clip = statistics.mean, 1.0 / statistics.std, clip

    def reset(self) -> None:
        """Nothing is carried."""

    def step(self, x: Doubles, idle: Mask) -> Doubles:
        """See `Normaliser.step`."""
        scaled = np.clip((x - self._mean) * self._scale, -self._clip, self._clip)
        return np.where(idle, 0.0, scaled)


class Rolling:
    """Exponentially weighted mean and variance, begun with given statistics.

    Every 100 ms, counted from the first sample, the statistics become those of the mixture of
    themselves, weight `1 - w`, and of the samples since, `w = 1 - exp(-n / (time_constant * fs))`
    for the `n` unmasked ones of a channel (West 1979, weighted updating, blockwise). Until then
    they stand: any chunking gives the same, and no sample is scaled by itself or by a later one.
    What goes in is the clipped z-score, so an artefact moves the statistics by a bounded step; a
    masked channel keeps its own.

    Parameters
    ----------
    start : statistics to begin with, after every reset too.
    clip : of z-scores.
    fs : sampling rate, Hz.
    time_constant_s : seconds after which a sample's weight has fallen to 1/e.
    """

    def __init__(
        self, start: Statistics, clip: float, fs: Fraction, time_constant_s: Fraction
    ) -> None:
        self._start, self._clip = start, clip
        self._decay = 1.0 / float(fs * time_constant_s)
        self._block = np.zeros((ceil(UPDATE_S * fs), len(start.mean)))
        self._used = np.zeros(len(start.mean))
        self.reset()

    def reset(self) -> None:
        """Return to the statistics begun with."""
        self._mean, self._std = self._start.mean.copy(), self._start.std.copy()
        self._filled = 0
        self._used[:] = 0

    @property
    def statistics(self) -> Statistics:
        """Those of now."""
        return Statistics(self._mean.copy(), self._std.copy())

    def step(self, x: Doubles, idle: Mask) -> Doubles:
        """See `Normaliser.step`."""
        out = np.empty_like(x)
        for rows in self._spans(len(x)):
            scaled = np.clip((x[rows] - self._mean) / self._std, -self._clip, self._clip)
            out[rows] = np.where(idle, 0.0, scaled)
            self._take(out[rows], idle)
        return out

    def _spans(self, rows: int) -> Iterator[slice]:
        """Rows up to each update."""
        start = 0
        while start < rows:
            stop = min(rows, start + len(self._block) - self._filled)
            yield slice(start, stop)
            start = stop

    def _take(self, scaled: Doubles, idle: Mask) -> None:
        stop = self._filled + len(scaled)
        self._block[self._filled : stop] = scaled
        self._used += np.where(idle, 0, len(scaled))
        self._filled = stop
        if stop == len(self._block):
            self._update()

    def _update(self) -> None:
        n = np.maximum(self._used, 1)
        mean, square = self._block.sum(axis=0) / n, (self._block**2).sum(axis=0) / n
        weight = -np.expm1(-self._used * self._decay)
        spread = 1 - weight + weight * square - (weight * mean) ** 2
        self._mean += weight * mean * self._std
        self._std = np.maximum(self._std * np.sqrt(spread), LEAST_STD * self._start.std)
        self._filled = 0
        self._used[:] = 0
