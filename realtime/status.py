"""What a session says of itself at a glance: one line for the operator, one object for scripts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.hops import HOP

WINDOW_S = 10.0


@dataclass(frozen=True)
class Status:
    """The session at one moment; counts since its start, NaN where nothing is known yet.

    `reason` says why it is degraded or muted; `hop_p99_ms` is of hop compute (available to
    handed over) over the last 10 s; `delay_ms` is playout's, smoothed; `masked_contacts` is of the
    newest hop; `gain_db` is the operator's.
    """

    state: str = "starting"
    reason: str = ""
    hops: int = 0
    hop_p99_ms: float = float("nan")
    late_hops: int = 0
    dropped_hops: int = 0
    underruns: int = 0
    delay_ms: float = float("nan")
    masked_contacts: int = 0
    gain_db: float = 0.0


class HopTimes:
    """Compute times of the last 10 s: one thread adds, others read; nothing waits."""

    def __init__(self, hop_s: float = float(HOP)) -> None:
        self._ring = np.full(round(WINDOW_S / hop_s), np.nan)
        self._count = 0

    def add(self, seconds: float) -> None:
        """Enter one hop's compute, seconds."""
        self._ring[self._count % len(self._ring)] = seconds
        self._count += 1

    def p99_ms(self) -> float:
        """99th percentile, ms; NaN before the first hop."""
        known = self._ring[: min(self._count, len(self._ring))].copy()
        return 1e3 * float(np.percentile(known, 99)) if len(known) else float("nan")
