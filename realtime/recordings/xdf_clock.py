"""The clock of a stream, mapped to the recorder's clock by the clock offsets of an XDF file.

Offsets are pairs of a collection time on the stream's clock and what to add there. Per stretch
between resets of the clock they are fitted by a line, robustly (Huber 1964, with the threshold of
0.1 ms that the reference reader uses, here by reweighted least squares).

A reset (the sender restarted, or its clock was set) shows as a step of the offsets by more than
`RESET_S`: in the seconds between two offsets no oscillator drifts that far. (The reference reader
asks for a glitch of the collection times too and so misses a reset by a few seconds.) Each stretch
has its own line, and each run of samples takes the stretch whose collection times it shares.
A single offset that differs from both its neighbours, which agree, is an outlier and left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.recordings.xdf_index import Run, StreamIndex, clock_offsets

Doubles = NDArray[np.float64]

RESET_S = 1.0
_HUBER_S = 1e-4
_MOST_DRIFT = 1e-3
_SCATTER_S = 0.01


@dataclass(frozen=True)
class Stretch:
    """Clock offsets between two resets: `recorder = stream + offset + drift * (stream - about)`.

    `earliest` and `latest` are the extreme collection times, `begin` and `end` the file offsets
    between which its samples may lie; `times` are the collection times.
    """

    about: float
    offset: float
    drift: float
    times: Doubles
    begin: int
    end: int

    def mapped(self, stamps: Doubles) -> Doubles:
        """Timestamps `(n,)` on the recorder's clock."""
        return stamps + (self.offset + self.drift * (stamps - self.about))


class StreamClock:
    """Maps the timestamps of one stream to the recorder's clock.

    Parameters
    ----------
    stream : its index.
    """

    def __init__(self, stream: StreamIndex) -> None:
        self.notes: list[str] = []
        """What was unusual, a sentence each."""
        offsets = clock_offsets(stream)
        self.stretches = self._fitted(offsets, np.array(stream.clock_places, np.int64))
        name = f"stream '{stream.header.name}'"
        if not len(offsets) and stream.samples:
            self.notes.append("no clock offsets: its times are those of its own computer")
        if len(self.stretches) > 1:
            self.notes.append(f"its clock was reset {len(self.stretches) - 1} times")
        self.notes = [f"{name}: {note}" for note in self.notes]
        self._starts, self._of = self._assigned(stream.runs)

    def mapped(self, stamps: Doubles, first: int) -> Doubles:
        """Timestamps on the recorder's clock.

        Parameters
        ----------
        stamps : `(n,)`, on the stream's clock.
        first : index in the stream of the first of them; the rest follow.
        """
        if not self.stretches:
            return stamps
        out = np.empty_like(stamps)
        run = int(np.searchsorted(self._starts, first, "right")) - 1
        at = 0
        while at < len(stamps):
            ends = self._starts[run + 1] - first if run + 1 < len(self._starts) else len(stamps)
            stop = int(min(ends, len(stamps)))
            out[at:stop] = self._by_stretch(stamps[at:stop], self._of[run])
            at, run = stop, run + 1
        return out

    def _by_stretch(self, stamps: Doubles, chosen: Sequence[int]) -> Doubles:
        taken = [self.stretches[number] for number in chosen]
        cuts = [(a.times.max() + b.times.min()) / 2 for a, b in itertools.pairwise(taken)]
        which = np.searchsorted(np.array(cuts), stamps)
        out = np.empty_like(stamps)
        for number, stretch in enumerate(taken):
            mine = which == number
            out[mine] = stretch.mapped(stamps[mine])
        return out

    def _fitted(self, offsets: Doubles, places: NDArray[np.int64]) -> list[Stretch]:
        if not len(offsets):
            return []
        offsets, places = self._without_outliers(offsets, places)
        cuts = np.flatnonzero(np.abs(np.diff(offsets[:, 1])) > RESET_S) + 1
        parts = np.split(np.arange(len(offsets)), cuts)
        stretches = []
        for number, part in enumerate(parts):
            begin = int(places[part[0] - 1]) if number else 0
            end = int(places[part[-1] + 1]) if number + 1 < len(parts) else 1 << 62
            stretches.append(self._line(offsets[part], begin, end))
        return stretches

    def _without_outliers(
        self, offsets: Doubles, places: NDArray[np.int64]
    ) -> tuple[Doubles, NDArray[np.int64]]:
        values = offsets[:, 1]
        alone = np.zeros(len(values), bool)
        far = np.abs(np.diff(values)) > RESET_S
        alone[1:-1] = far[:-1] & far[1:] & (np.abs(values[2:] - values[:-2]) <= RESET_S)
        if alone.any():
            self.notes.append(f"{int(alone.sum())} clock offsets far from the rest were left out")
        return offsets[~alone], places[~alone]

    def _line(self, offsets: Doubles, begin: int, end: int) -> Stretch:
        times, values = offsets[:, 0], offsets[:, 1]
        about = float(times.mean())
        offset, drift = huber_line(times - about, values)
        if abs(drift) > _MOST_DRIFT:
            self.notes.append(f"offsets drift by {drift * 1e6:.0f} ppm: their median was taken")
            offset, drift = float(np.median(values)), 0.0
        scatter = float(np.abs(values - offset - drift * (times - about)).max())
        if scatter > _SCATTER_S:
            self.notes.append(f"clock offsets scatter by up to {scatter * 1e3:.0f} ms")
        return Stretch(about, offset, drift, times, begin, end)

    def _assigned(self, runs: Sequence[Run]) -> tuple[NDArray[np.int64], list[list[int]]]:
        starts = np.array([run.first for run in runs], np.int64)
        return starts, [self._stretches_of(run) for run in runs]

    def _stretches_of(self, run: Run) -> list[int]:
        """Number of the stretch of a run; of all that a run without a visible step contains."""
        shares = [
            float(np.mean((s.times >= run.earliest) & (s.times <= run.latest)))
            if s.begin <= run.end and run.begin <= s.end
            else -1.0
            for s in self.stretches
        ]
        inside = [number for number, share in enumerate(shares) if share > 0.5]
        rising = all(
            self.stretches[a].times.max() < self.stretches[b].times.min()
            for a, b in itertools.pairwise(inside)
        )
        if len(inside) > 1 and rising:
            return inside
        away = [
            max(float(s.times.min()) - run.latest, run.earliest - float(s.times.max()), 0.0)
            for s in self.stretches
        ]
        order = range(len(self.stretches))
        return [max(order, key=lambda n: (shares[n] >= 0, shares[n], -away[n]))] if away else []


def huber_line(x: Doubles, y: Doubles, threshold: float = _HUBER_S) -> tuple[float, float]:
    """Intercept and slope that minimise Huber's loss (Huber 1964, Ann. Math. Stat. 35:73).

    Iteratively reweighted least squares from the least-squares line; one point, or points of one
    abscissa, give a constant.

    Parameters
    ----------
    x, y : `(n,)`.
    threshold : residuals beyond it count linearly, same unit as `y`.
    """
    if len(x) < 2 or np.ptp(x) == 0:
        return float(np.median(y)), 0.0
    level = float(np.median(y))
    y = y - level
    weights = np.ones_like(x)
    line = np.zeros(2)
    for _ in range(200):
        centre = np.average(x, weights=weights)
        slope = np.sum(weights * (x - centre) * y) / np.sum(weights * (x - centre) ** 2)
        new = np.array([np.average(y, weights=weights) - slope * centre, slope])
        rest = np.abs(y - new[0] - new[1] * x)
        weights = threshold / np.maximum(rest, threshold)
        done = np.abs(new - line).max() < 1e-15
        line = new
        if done:
            break
    return level + float(line[0]), float(line[1])
