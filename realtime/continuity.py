"""What each block means for the sample grid: rows that go on, rows sent twice, samples lost.

A straight line of time runs through the samples: sample `n` of the stream ought to be stamped
`zero + n / fs`. What a stamp is beyond it, its excess, tells losses from the whims of drivers:

* at once, if the excess steps up by more than the stamps' own unrest and the samples are no
  earlier here than they could be (a packet that is only stamped late is);
* from its minimum over 0.25 s otherwise (`GapCounter`): jitter hides a small loss that long;
* stamps that run back or into the future are watched for 0.25 s: single packets are borne, a
  clock that stays elsewhere has jumped.

Between losses the line is sample count alone, so that jitter and overlapping stamps never move it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from statistics import median

import numpy as np
from numpy.typing import NDArray

from models.streaming import Floats
from realtime.duplicates import Recent
from realtime.gaps import GapCounter

MAX_BLOCK = 256
LEARN_S = 1.0
CONFIRM_S = 0.25
_BUCKET_S = 0.025
_BUCKETS = 80
# Stamps this quiet come from a sample clock and can be believed sample by sample.
QUIET_S = 0.003
QUIET_STEP_S = 0.008
STEP_S = 0.1
BACK_S = 0.25
# Earlier than the earliest by this: stamped in the future, not late.
_EARLY_S = 0.005


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `stop` of a block, and what was found before the first of them.

    `lost`: samples that never came; `jump_s`: the sender's clock moved by so much; `duplicate`:
    these very rows were here before.
    """

    start: int
    stop: int
    lost: int = 0
    jump_s: float = 0.0
    duplicate: bool = False


class Continuity:
    """Judges the blocks of one stream, in order.

    Parameters
    ----------
    fs : nominal rate, Hz.
    contacts : columns of a block.
    """

    def __init__(self, fs: Fraction, contacts: int) -> None:
        self._fs, self._half = float(fs), float(1 / (2 * fs))
        self._ramp = np.arange(1, MAX_BLOCK + 1) / self._fs
        self._recent = Recent(contacts, ceil(fs))
        self._gaps = GapCounter(fs)
        self._unrest = _Unrest()
        self.odd_stamps = 0
        """Times that stamps left the line and came back to it."""
        self.reset()

    def reset(self) -> None:
        """Another stream: learn its clock anew."""
        self._zero: float | None = None
        self._seen, self._accepted = 0, 0
        self._last_stamp = float("-inf")
        self._forget_clock()
        self._recent.reset()

    def _forget_clock(self) -> None:
        self._offset, self._off_rows = 0.0, 0
        self._learnt_at = self._accepted + int(LEARN_S * self._fs)
        self._gaps.reset()
        self._unrest.reset()

    @property
    def is_new(self) -> bool:
        """Whether no sample has come since the last reset."""
        return self._zero is None

    @property
    def count(self) -> int:
        """Samples of this stream so far, lost ones included, duplicates not."""
        return self._seen

    def line(self, ahead: int = 0) -> float:
        """Time on the line of the last sample, or of one `ahead` of it, the sender's clock, s."""
        return self.time_of(self._seen + ahead)

    def time_of(self, count: int) -> float:
        """Time on the line of the stream's sample number `count`, from 1."""
        return (self._zero or 0.0) + count / self._fs

    def judge(
        self, samples: Floats, stamps: NDArray[np.float64], available: float, floor_s: float
    ) -> list[Piece]:
        """Pieces of a block `(n, contacts)`, n up to 256, in order, covering it.

        Parameters
        ----------
        stamps : `(n,)`, raw LSL time of each sample, seconds.
        available : when the block was here, the local clock, seconds.
        floor_s : the least delay of late from the line to that, seconds.
        """
        if self._zero is None:
            self._zero = float(stamps[0]) - 1 / self._fs
        pieces: list[Piece] = []
        at, lost, settled = 0, 0, False
        # A stamp that leaves less delay than the fastest sample took is not of a later sample.
        latest = available - floor_s + _EARLY_S + self._unrest.middle
        while at < len(stamps):
            stop = self._goes_on(stamps, at, settled)
            if stop > at:
                pieces.append(self._flow(samples, stamps, at, stop, lost))
                at, lost, settled = stop, 0, False
                continue
            repeated = self._repeated(samples, stamps, at)
            if repeated:
                pieces.append(Piece(at, at + repeated, duplicate=True))
                at += repeated
                continue
            future = max(float(stamps[at]), float(stamps[-1])) > latest
            lost += self._step(float(stamps[at]), future)
            settled = True
        return pieces

    def _goes_on(self, stamps: NDArray[np.float64], at: int, settled: bool) -> int:
        """First row from `at` on that is not where it was expected."""
        rows = stamps[at:]
        beyond = rows - self._ramp[: len(rows)]
        beyond -= self.line() + self._unrest.middle + self._offset
        up, down = self._limits()
        forward = settled or float(rows[0]) - self._last_stamp >= self._half
        steady = len(rows) == 1 or float((rows[1:] - rows[:-1]).min()) >= self._half
        if forward and steady and float(beyond.max()) <= up and float(beyond.min()) >= -down:
            return len(stamps)
        odd = (beyond > up) | (beyond < -down)
        odd[0] |= not forward
        odd[1:] |= rows[1:] - rows[:-1] < self._half
        return at + (int(np.argmax(odd)) if odd.any() else len(rows))

    def _limits(self) -> tuple[float, float]:
        """Steps of the excess, up and down, that are more than unrest, seconds."""
        if self._accepted < self._learnt_at:
            return float("inf"), float("inf")
        spread = self._unrest.spread
        least = QUIET_STEP_S if spread < QUIET_S else STEP_S
        return max(least, 2 * spread), max(BACK_S, 2 * spread)

    def _repeated(self, samples: Floats, stamps: NDArray[np.float64], at: int) -> int:
        if stamps[at] - self._last_stamp >= self._half:
            return 0
        return self._recent.repeated(samples[at:], stamps[at:])

    def _step(self, stamp: float, future: bool) -> int:
        """The next sample's stamp is not where it was expected; returns samples lost."""
        up, down = self._limits()
        beyond = stamp - self.line(1) - self._unrest.middle
        if -down <= beyond - self._offset <= up:
            # Only a step back within what is borne.
            return 0
        if -down <= beyond <= up:
            self.odd_stamps += 1
            self._offset = 0.0
        elif beyond > 0 and not future:
            self._offset = 0.0
            lost = round(beyond * self._fs)
            self._seen += lost
            self._gaps.skip(lost)
            return lost
        else:
            self._offset, self._off_rows = beyond, 0
        return 0

    def _flow(
        self, samples: Floats, stamps: NDArray[np.float64], at: int, stop: int, lost: int
    ) -> Piece:
        """Rows that go on; late knowledge of a loss or of a jump is told before them."""
        rows = stop - at
        excess = (float(stamps[at]) - self.line(1), float(stamps[stop - 1]) - self.line(rows))
        self._recent.add(samples[at:stop], stamps[at:stop])
        self._last_stamp = float(stamps[stop - 1])
        self._seen += rows
        self._accepted += rows
        jump_s = 0.0
        if self._offset:
            self._gaps.skip(rows)
            jump_s = self._confirm(rows)
        else:
            lost += self._watch(rows, excess)
        return Piece(at, stop, lost, jump_s)

    def _confirm(self, rows: int) -> float:
        """Stamps are off the line: a jump once they have been for long enough."""
        self._off_rows += rows
        if self._off_rows < CONFIRM_S * self._fs:
            return 0.0
        jump_s = self._offset
        self._zero = (self._zero or 0.0) + jump_s
        self._forget_clock()
        # A small step of the sender's clock loses nothing.
        return jump_s if abs(jump_s) >= STEP_S else 0.0

    def _watch(self, rows: int, excess: tuple[float, float]) -> int:
        """Stamps are on the line: learn their unrest, count what jitter had hidden."""
        self._unrest.add(min(excess), max(excess), self.line())
        lost = self._gaps.update(rows, self._last_stamp)
        if lost:
            self._seen += lost
            self._unrest.lower(lost / self._fs)
        return lost


class _Unrest:
    """Middle and spread of the excess over the last 2 s, in buckets of 25 ms."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._buckets: deque[tuple[float, float]] = deque(maxlen=_BUCKETS)
        self._until = float("-inf")
        self._least, self._most = float("inf"), float("-inf")
        self.middle = 0.0
        self.spread = 0.0

    def add(self, least: float, most: float, time: float) -> None:
        self._least, self._most = min(self._least, least), max(self._most, most)
        if time < self._until:
            return
        self._until = time + _BUCKET_S
        self._buckets.append((self._least, self._most))
        self._least, self._most = float("inf"), float("-inf")
        self._sum_up()

    def lower(self, by_s: float) -> None:
        """What looked like excess was a loss: buckets since then, half of it above, come down."""
        half = self.middle + by_s / 2
        self._buckets = deque(
            ((a - by_s, b - by_s) if a > half else (a, b) for a, b in self._buckets),
            maxlen=_BUCKETS,
        )
        self._sum_up()

    def _sum_up(self) -> None:
        self.middle = median(least for least, _ in self._buckets)
        self.spread = max(b for _, b in self._buckets) - min(a for a, _ in self._buckets)
