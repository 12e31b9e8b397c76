"""Lost samples, counted from timestamps against sample count. It reports; it decides nothing.

Stamps are late at times, hardly ever early: the minimum of `timestamp - count / fs` over a short
time follows the true clock through jitter (the minimum filter of one-way delays, Paxson, SIGMETRICS
1998). A step of that minimum is samples that never came. The past is the lowest tenth, not the
least, of its minima: single stamps that run back must not look like a step when they are over.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

_BUCKET_S = Fraction(1, 40)
_RECENT = 10
_PAST = 400
# Stamps that saw-tooth over bursts longer than a bucket: only a step beyond the teeth is one.
_TEETH_S = 0.05


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
        self._fs = float(fs)
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
        excess = last_timestamp - self._origin - self._seen / self._fs
        self._bucket_min = min(self._bucket_min, excess)
        if self._seen < self._bucket_end:
            return 0
        return self._close_bucket()

    def skip(self, lost: int) -> None:
        """Samples known to be lost by other means: they are no step any more."""
        self._seen += lost
        self._bucket_end += lost

    def _close_bucket(self) -> int:
        if len(self._recent) == _RECENT:
            self._past.append(self._recent[0])
        self._recent.append(self._bucket_min)
        self._bucket_min = float("inf")
        self._bucket_end = self._seen + self._bucket
        if len(self._past) < _RECENT:
            return 0
        past = sorted(self._past)
        floor = past[len(past) // 10]
        teeth = past[-1 - len(past) // 10] - floor
        step = min(self._recent) - floor
        least = teeth if teeth > _TEETH_S else self._threshold_s
        return self._count(step) if step > least else 0

    def _count(self, step_s: float) -> int:
        lost = round(step_s * self._fs)
        shift_s = lost / self._fs
        self._seen += lost
        self._bucket_end += lost
        self._recent = deque((e - shift_s for e in self._recent), maxlen=_RECENT)
        self.lost += lost
        return lost
