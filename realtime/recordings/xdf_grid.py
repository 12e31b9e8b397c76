"""Samples of a steady rate, placed on a regular grid by timestamps that jitter.

A lost sample leaves a step in `timestamp - index / rate` that stays; jitter and a packet that
comes late leave one that goes. So a step counts as a loss if the medians of that residual over
the second before and the second after it differ by more than half a sample and more than six
times what they differ by elsewhere in the same recording. What is smaller stays unseen, and
`Grid.threshold_s` says how much that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from realtime.recordings.clocks import measured_clock
from realtime.recordings.xdf_index import JUMP_S

Doubles = NDArray[np.float64]

_CELLS_HZ = 128
_WINDOW = 128
_SIGMAS = 6.0
_MAD_TO_SD = 1.4826
_MOST_GAP_S = 3600.0
_TRIVIAL = 0.05


@dataclass(frozen=True)
class Grid:
    """Where samples stand on a regular grid, and the clock of that grid.

    Parameters
    ----------
    samples : how many there are.
    gaps : `(n, 2)`: index of the first sample behind a gap, and how many samples are lost in it;
        negative where samples overlap those before.
    start_s, rate : time of row 0 and rows per second, by all timestamps.
    wander_s : largest departure of the timestamps, as medians over a second, from that clock.
    threshold_s : the smallest loss that could be told from jitter.
    """

    samples: int
    gaps: NDArray[np.int64]
    start_s: float
    rate: float
    wander_s: float
    threshold_s: float

    def parts(self) -> list[tuple[int, int, int]]:
        """Parts without a gap: first row, row behind the last, and first sample.

        Rows between parts have no sample; samples that overlap those before are left out.
        """
        out, shift, filled = [], 0, 0
        starts = [(0, 0), *((int(at), int(width)) for at, width in self.gaps)]
        stops = [at for at, _ in starts[1:]] + [self.samples]
        for (begin, width), end in zip(starts, stops, strict=True):
            shift += width
            row = max(begin + shift, filled)
            if row < end + shift:
                out.append((row, end + shift, row - shift))
                filled = end + shift
        return out

    @property
    def rows(self) -> int:
        """Rows of the grid."""
        return self.parts()[-1][1]

    @property
    def lost(self) -> int:
        """Rows that have no sample."""
        return self.rows - sum(stop - start for start, stop, _ in self.parts())

    @property
    def doubled(self) -> int:
        """Samples left out because they overlap those before."""
        return self.samples - sum(stop - start for start, stop, _ in self.parts())


class Survey:
    """Collects of a stream's timestamps what a grid needs, in bounded memory.

    Parameters
    ----------
    what : the stream, for messages.
    nominal_hz : its stated rate.
    """

    def __init__(self, what: str, nominal_hz: float) -> None:
        self._what = what
        self._every = max(1, round(nominal_hz / _CELLS_HZ))
        self._step = 1 / nominal_hz
        self._count = 0
        self._rest = np.empty(0)
        self._stamps: list[Doubles] = []
        self._peaks: list[NDArray[np.int64]] = []

    def add(self, stamps: Doubles) -> None:
        """The next timestamps `(n,)`.

        Raises
        ------
        RecordingError
            If they step back by more than half a second, which no clock offset explains.
        """
        block = np.concatenate([self._rest, stamps])
        steps = np.diff(block)
        back = np.flatnonzero(steps < -JUMP_S)
        if len(back):
            at = self._count - len(self._rest) + int(back[0]) + 1
            raise RecordingError(
                f"the timestamps of {self._what} step back by {-steps[back[0]]:.3f} s at sample "
                f"{at}, and no clock offsets explain it",
                "rising timestamps, or clock offsets on both sides of a reset",
                "export the part before and the part after as files of their own",
            )
        self._count += len(stamps)
        cells = max(0, (len(block) - 1) // self._every)
        self._rest = block[cells * self._every :]
        inside = steps[: cells * self._every].reshape(cells, self._every)
        self._stamps.append(block[: cells * self._every : self._every])
        self._peaks.append(np.column_stack([inside.argmax(axis=1), inside.argmin(axis=1)]))

    def grid(self) -> Grid:
        """Place the samples.

        Raises
        ------
        RecordingError
            If there are too few, their timestamps never advance, or a gap is over an hour.
        """
        if self._count < 2:
            raise RecordingError(f"{self._what} has {self._count} samples", "at least two")
        stamps, places, peaks = self._cells()
        steps = np.diff(stamps) - np.diff(places) * self._step
        large = _large(steps, self._step)
        closed = stamps - np.concatenate([[0], np.cumsum(large)])
        rate = self._likely_rate(closed)
        due = stamps[0] + places / rate
        finder = _GapFinder(stamps - due, closed - due, large, rate)
        # The place of a gap inside its cell is that of the cell's largest step of its sign.
        found = [(int(places[c] + peaks[c, 0 if n > 0 else 1]) + 1, n) for c, n in finder.gaps()]
        gaps = np.array([(i, max(n, -i)) for i, n in found], np.int64).reshape(-1, 2)
        if gaps.size and gaps[:, 1].max() > _MOST_GAP_S * rate:
            raise RecordingError(
                f"{self._what} has a gap of {gaps[:, 1].max() / rate:.0f} s",
                f"none over {_MOST_GAP_S:.0f} s",
                "export the parts as files of their own",
            )
        return self._clocked(stamps, places, gaps, finder.threshold_s)

    def _cells(self) -> tuple[Doubles, NDArray[np.int64], NDArray[np.int64]]:
        """First timestamp of each cell and its place, ended by the last sample; peaks in cells."""
        stamps = np.concatenate([*self._stamps, self._rest[:1]])
        peaks = np.concatenate(self._peaks)
        places = np.arange(len(stamps), dtype=np.int64) * self._every
        if len(self._rest) > 1:
            steps = np.diff(self._rest)
            stamps = np.append(stamps, self._rest[-1])
            places = np.append(places, self._count - 1)
            peaks = np.concatenate([peaks, [[steps.argmax(), steps.argmin()]]])
        return stamps, places, peaks

    def _likely_rate(self, closed: Doubles) -> float:
        """The median rate over a second, or the stated one unless that differs clearly."""
        found = measured_clock(closed).effective_hz * self._every
        lag = min(_WINDOW, len(closed) // 2)
        seconds = closed[lag:] - closed[:-lag]
        spread = _MAD_TO_SD * float(np.median(np.abs(seconds - np.median(seconds))))
        independent = len(closed) / lag
        doubt = 3 * 1.25 * spread / (math.sqrt(independent) * lag * self._every * self._step)
        return 1 / self._step if abs(found * self._step - 1) < doubt else found

    def _clocked(
        self,
        stamps: Doubles,
        places: NDArray[np.int64],
        gaps: NDArray[np.int64],
        threshold_s: float,
    ) -> Grid:
        shift = np.concatenate([[0], np.cumsum(gaps[:, 1])])
        shifts = shift[np.searchsorted(gaps[:, 0], places, "right")]
        rows = (places + shifts).astype(np.float64)
        start, step = _steady(rows, stamps)
        rest = stamps - start - step * rows
        count = -(-len(rest) // _WINDOW)
        wander = max(abs(float(np.median(part))) for part in np.array_split(rest, count))
        return Grid(self._count, gaps, start, 1 / step, wander, threshold_s)


class _GapFinder:
    """Finds persistent steps of a residual.

    Parameters
    ----------
    residual : `(cells + 1,)` residual of the timestamps at the borders of cells.
    closed : the same without the large steps.
    large : `(cells,)` the large steps, 0 elsewhere.
    rate : samples per second.
    """

    def __init__(self, residual: Doubles, closed: Doubles, large: Doubles, rate: float) -> None:
        self._steps, self._large, self._rate = np.diff(residual), large, rate
        self._found = np.zeros(len(large), np.int64)
        self._residual, half = closed, _WINDOW // 2
        places = range(half, len(large), half)
        elsewhere = np.array([self._change(c, _WINDOW, _WINDOW)[0] for c in places] or [0.0])
        spread = np.median(np.abs(elsewhere - np.median(elsewhere)))
        self._sd = _MAD_TO_SD * float(spread)
        self._residual = residual
        self.threshold_s = self._least(_WINDOW)

    def gaps(self) -> list[tuple[int, int]]:
        """Cells with a gap and its width in samples, in order."""
        # The largest first, so that a small one is judged with its large neighbours taken away.
        candidates = np.flatnonzero(np.abs(self._steps) > self.threshold_s / 2)
        order = np.argsort(-np.abs(self._steps[candidates]), kind="stable")
        for cell in candidates[order].tolist():
            self._found[cell] = self._width(cell)
        return self._measured_between()

    def _width(self, cell: int) -> int:
        """Samples lost at a step; 0 if it does not stay."""
        step, sign = abs(self._steps[cell]), np.sign(self._steps[cell])
        lasting, all_cells = self._change(cell, _WINDOW, _WINDOW)
        lasting *= sign
        if lasting <= self._least(all_cells):
            return 0
        near, cells = self._change(cell, *self._clear(cell))
        near, doubt = near * sign, self._least(cells)
        if doubt > lasting / 2:
            # Too short between late packets: then the step itself must be about what lasts.
            near = lasting if lasting / 2 < step < 2 * lasting + self.threshold_s else 0.0
        elif not doubt < near <= lasting + doubt:
            # Losses close by add to what lasts; what is larger than that is a delay that ends.
            near = 0.0
        return round(float(near * sign) * self._rate)

    def _measured_between(self) -> list[tuple[int, int]]:
        """The gaps found, measured again between their neighbours, now that those are known."""
        cells = np.flatnonzero(self._found).tolist()
        self._found[:] = 0
        room = np.diff(cells, prepend=-_WINDOW, append=len(self._residual) + _WINDOW)
        room = np.clip(room, 1, _WINDOW)
        changes = [
            self._change(cell, int(before), int(after))[0]
            for cell, before, after in zip(cells, room[:-1], room[1:], strict=True)
        ]
        # Rounded as a sum, so that the errors of many gaps do not add up.
        rows = np.rint(np.cumsum(changes) * self._rate).astype(int)
        widths = np.diff(rows, prepend=0).tolist()
        return [(cell, width) for cell, width in zip(cells, widths, strict=True) if width]

    def _least(self, cells: int) -> float:
        return max(0.5 / self._rate, _SIGMAS * self._sd * math.sqrt(_WINDOW / cells))

    def _clear(self, cell: int) -> tuple[int, int]:
        """Borders before and behind a step up to the next large step of its sign.

        Steps of the other sign do not count: they end a delay, and a delay is no loss.
        """
        sign, low = np.sign(self._steps[cell]), max(0, cell - _WINDOW)
        left = np.flatnonzero(self._large[low:cell] * sign > 0) + low
        right = np.flatnonzero(self._large[cell + 1 : cell + _WINDOW] * sign > 0)
        before = cell - int(left[-1]) if len(left) else _WINDOW
        after = int(right[0]) + 1 if len(right) else _WINDOW
        return before, after

    def _change(self, cell: int, before: int, after: int) -> tuple[float, int]:
        """Median residual behind a cell minus that before it, and the borders it rests on.

        Gaps already found are taken away.
        """
        low, high = max(0, cell + 1 - before), min(len(self._residual), cell + 1 + after)
        levels = self._residual[low:high].copy()
        levels[1:] -= np.cumsum(self._found[low : high - 1]) / self._rate
        at = cell + 1 - low
        change = float(np.median(levels[at:]) - np.median(levels[:at]))
        return change, min(at, len(levels) - at)


def _large(steps: Doubles, step_s: float) -> Doubles:
    """The steps `(cells,)` that are far larger than jitter makes, 0 elsewhere.

    Without them rate and jitter can be told even where much is lost. Losses step forward only, so
    the steps back tell how large those of jitter are.
    """
    steps = steps - np.median(steps)
    back = -steps[steps < -_TRIVIAL * step_s]
    usual = float(np.median(back)) if len(back) else 0.0
    return np.where(np.abs(steps) > 8 * usual + 0.4 * step_s, steps, 0.0)


def _steady(rows: Doubles, stamps: Doubles) -> tuple[float, float]:
    """Least-squares line through all but the far timestamps: start and seconds per row."""
    kept = np.ones(len(rows), bool)
    start, step = float(stamps[0]), 0.0
    for _ in range(3):
        x, y = rows[kept], stamps[kept]
        middle, level = x.mean(), y.mean()
        step = float(np.sum((x - middle) * (y - level)) / np.sum((x - middle) ** 2))
        start = float(level - step * middle)
        rest = np.abs(stamps - start - step * rows)
        kept = rest <= 5 * _MAD_TO_SD * np.median(rest) + 1e-9
    return start, step
