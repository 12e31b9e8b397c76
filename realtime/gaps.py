"""Lost samples, counted from timestamps against sample count. It reports; it decides nothing.

A sample never arrives early: the minimum of `timestamp - count / fs` over a short time follows
the true clock through jitter (the minimum filter of one-way delays, Paxson, SIGMETRICS 1998).
A step of that minimum is samples that never came.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

_BUCKET_S = Fraction(1, 40)
_RECENT = 10
_PAST = 400


class GapCounter:
    """Counts samples lost by the sender, the network or us.

    Compares the minimum over the last 0.25 s with that over up to 10 s before, so a gap is
    reported about 0.25 s after it, once.

    Parameters
    ----------
    fs : nominal rate, Hz.
    threshold_s : smaller steps are taken for jitter.
    """

    def __init__(self, fs: Fraction, threshold_s: float = 0.012) -> None:
        self._fs = fs
        self._threshold_s = threshold_s
        self._bucket = max(1, round(_BUCKET_S * fs))
        self.lost = 0
        """Samples lost so far."""
        self.reset()

    def reset(self) -> None:
        """Forget the past, not the count; for a new stream or after a clock jump."""
        self._seen = 0
        self._origin: float | None = None
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._past: deque[float] = deque(maxlen=_PAST)
        self._bucket_end, self._bucket_min = self._bucket, float("inf")

    def update(self, samples: int, last_timestamp: float) -> int:
        """Count a pull of `samples`, the last one stamped `last_timestamp` (raw LSL seconds).

        Returns the number of samples found lost by this call, usually 0.
        """
        if samples == 0:
            return 0
        if self._origin is None:
            self._origin = last_timestamp
        self._seen += samples
        excess = last_timestamp - self._origin - float(self._seen / self._fs)
        self._bucket_min = min(self._bucket_min, excess)
        if self._seen < self._bucket_end:
            return 0
        return self._close_bucket()

    def _close_bucket(self) -> int:
        if len(self._recent) == _RECENT:
            self._past.append(self._recent[0])
        self._recent.append(self._bucket_min)
        self._bucket_min = float("inf")
        self._bucket_end = self._seen + self._bucket
        if len(self._past) < _RECENT:
            return 0
        step = min(self._recent) - min(self._past)
        return self._count(step) if step > self._threshold_s else 0

    def _count(self, step_s: float) -> int:
        lost = round(step_s * self._fs)
        shift_s = float(lost / self._fs)
        self._seen += lost
        self._bucket_end += lost
        self._recent = deque((e - shift_s for e in self._recent), maxlen=_RECENT)
        self.lost += lost
        return lost
