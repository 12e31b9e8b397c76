"""A recording's samples as pulls: as if an amplifier sent them in bursts of so many samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.streaming import Floats
from realtime.redecode.pulls import MAX_PULL, Pull
from realtime.redecode.series import Part, Series
from realtime.source import PULL_S

# After a silence of so long nothing changes any more until samples come.
_SILENT_S = 5.0
_NO_STAMPS = np.zeros(0)


def in_bursts(series: Series, burst: int) -> Iterator[Pull]:
    """Pulls of `burst` samples, each here the moment its last sample was taken.

    A burst of more than 256 is taken in several pulls, as the live inlet does; where none is due,
    pulls of 20 ms bring nothing.
    """
    clock = _Clock(len(series.contacts))
    for part in _whole_bursts(series, burst):
        for start in range(0, len(part.stamps), burst):
            stop = min(start + burst, len(part.stamps))
            yield from clock.until(float(part.taken[stop - 1]))
            for first in range(start, stop, MAX_PULL):
                rows = slice(first, min(first + MAX_PULL, stop))
                yield Pull(part.samples[rows], part.stamps[rows], clock.now)


def _whole_bursts(series: Series, burst: int) -> Iterator[Part]:
    """The parts of a series, cut where a burst ends; only the last may be shorter."""
    rest: Part | None = None
    for part in series.parts():
        joined = part if rest is None else rest.joined(part)
        whole = len(joined.stamps) // burst * burst
        if whole:
            yield joined.cut(0, whole)
        rest = joined.cut(whole, len(joined.stamps))
    if rest is not None and len(rest.stamps):
        yield rest


class _Clock:
    """The virtual clock: it never runs back, and pulls that bring nothing fill the waits."""

    def __init__(self, contacts: int) -> None:
        self.now = float("nan")
        self._none: Floats = np.zeros((0, contacts), np.float32)

    def until(self, due: float) -> Iterator[Pull]:
        """Pulls until something is due."""
        if not due > self.now:
            # Not a number before the first.
            self.now = due if np.isnan(self.now) else self.now
            return
        waited, start = 0.0, self.now
        while self.now + PULL_S < due and waited < _SILENT_S:
            waited += PULL_S
            self.now = start + waited
            yield Pull(self._none, _NO_STAMPS, self.now)
        self.now = due
