"""How late things were done, in bounded memory."""

from __future__ import annotations

_BIN_S = 1e-5
_BINS = 100_000


class Lateness:
    """Counts of delays in bins of 10 us, up to one second."""

    def __init__(self) -> None:
        self._counts = [0] * (_BINS + 1)
        self.count = 0
        self.most_s = 0.0

    def add(self, late_s: float) -> None:
        """One more."""
        self._counts[min(_BINS, int(max(0.0, late_s) / _BIN_S))] += 1
        self.count += 1
        self.most_s = max(self.most_s, late_s)

    def quantile_ms(self, share: float) -> float:
        """The upper end of the bin below which this share lies, ms; 0 of none."""
        wanted, seen = share * self.count, 0
        for number, count in enumerate(self._counts):
            seen += count
            if seen and seen >= wanted:
                return min((number + 1) * _BIN_S, self.most_s) * 1e3
        return 0.0

    def figures(self) -> dict[str, float]:
        """p50, p99, p99.9 and the largest, ms."""
        shares = (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999))
        told = {name: round(self.quantile_ms(share), 3) for name, share in shares}
        return {**told, "max": round(self.most_s * 1e3, 3)}
