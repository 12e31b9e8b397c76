"""Events of a session: what changed, when and why; and how often a repeated one is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """One thing that happened, at `time` on the local LSL clock, seconds.

    `kind` is the new state (`waiting`, `warming`, `decoding`, `degraded`, `muted`, `stopped`) or
    the name of a fault; `details` are plain values, units in their names.
    """

    kind: str
    time: float
    details: dict[str, Any] = field(default_factory=dict)


Emit = Callable[[Event], None]


class Tally:
    """An event that may come with every block: told at once, then summed up once a second.

    Parameters
    ----------
    emit : where it is told.
    kind : of the event.
    unit : what is counted, the key in its details.
    """

    PERIOD_S = 1.0

    def __init__(self, emit: Emit, kind: str, unit: str) -> None:
        self._emit, self._kind, self._unit = emit, kind, unit
        self._waiting = 0
        self._told = float("-inf")
        self.total = 0
        """Counted so far."""

    def add(self, count: int, now: float) -> None:
        """Count, and tell if it is time."""
        self.total += count
        self._waiting += count
        self.flush(now)

    def flush(self, now: float, at_once: bool = False) -> None:
        """Tell what waits, if it has waited for long enough."""
        if self._waiting and (at_once or now - self._told >= self.PERIOD_S):
            told = {self._unit: self._waiting, "total": self.total}
            self._waiting, self._told = 0, now
            self._emit(Event(self._kind, now, told))
