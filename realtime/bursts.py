"""The amplifier's bursts against the playout delay: one below the burst runs dry in every burst."""

from __future__ import annotations

from realtime.events import Emit, Event

EVERY_S = 5.0
# Told again when it differs by both.
_STEP_MS, _STEP = 2.0, 0.2


class BurstWatch:
    """Tells the length of the bursts when it changes, and whether playout covers it.

    Parameters
    ----------
    emit : is told.
    playout_s : the playout delay, seconds; 0 if there is none.
    """

    def __init__(self, emit: Emit, playout_s: float) -> None:
        self._emit, self._delay_ms = emit, 1e3 * playout_s
        self._told_ms, self._next = -10.0, 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time to compare again."""
        return now > self._next

    def compare(self, burst_s: float, now: float) -> str | None:
        """Why the delay is too short for bursts of this length; None if it is not."""
        burst_ms = round(1e3 * burst_s, 1)
        if abs(burst_ms - self._told_ms) > max(_STEP_MS, _STEP * self._told_ms):
            self._told_ms = burst_ms
            self._emit(Event("burst", now, {"ms": burst_ms, "playout_ms": self._delay_ms}))
        self._next = now + EVERY_S
        if self._delay_ms == 0 or burst_ms <= self._delay_ms:
            return None
        need, have = f"{burst_ms:g} ms", f"{self._delay_ms:g} ms"
        return f"bursts of {need} need a playout delay of as much, it is {have}"
