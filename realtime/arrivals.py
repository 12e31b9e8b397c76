"""How late samples come, and in what bursts: the delay's floor, the length of a burst."""

from __future__ import annotations

from collections import deque
from statistics import median_low

BUCKET_S = 0.1
KEPT = 100
# What waits for longer stalls: a decoder in arrears must not take that for the amplifier's way.
LONGEST_BURST_S = 1.0


class Arrivals:
    """Watches the delay from a sample's time to its being here, in buckets of 0.1 s.

    The smallest delay of the last 10 s with data is the floor: what even the fastest sample took,
    clock offset included (minimum filter of one-way delays, Paxson, SIGMETRICS 1998). Age is
    delay above it, so no clock needs to be known, and one that is off by 200 ppm costs 2 ms. The
    first sample of a burst waits for the last: the median of the buckets' largest delays is the
    burst's length, whatever a stall did to some of them.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: another stream, another clock."""
        self._buckets: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._until = float("-inf")
        self._least, self._most = float("inf"), float("-inf")
        self._floor, self._usual = float("inf"), float("nan")

    @property
    def floor_s(self) -> float:
        """The least delay, seconds, on the sender's clock; infinite before the first sample."""
        return min(self._floor, self._least)

    @property
    def burst_s(self) -> float:
        """Usual time from a burst's first sample to its arrival, seconds; 0 before the first."""
        most = self._usual if self._buckets else self._most
        if most == float("-inf"):
            return 0.0
        return min(max(0.0, most - self.floor_s), LONGEST_BURST_S)

    def update(self, first: float, last: float, available: float) -> float:
        """Enter a block by its first and last sample's time and when it came, seconds.

        Returns the age of its last sample, seconds.
        """
        if available >= self._until:
            self._close(available)
        self._least = min(self._least, available - last)
        self._most = max(self._most, available - first)
        return available - last - self.floor_s

    def _close(self, available: float) -> None:
        if self._least < float("inf"):
            self._buckets.append((self._least, self._most))
            self._floor = min(least for least, _ in self._buckets)
            self._usual = median_low(most for _, most in self._buckets)
        self._until = available + BUCKET_S
        self._least, self._most = float("inf"), float("-inf")
