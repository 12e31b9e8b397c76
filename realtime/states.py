"""The state of a session, from the reasons that hold at this moment.

Reasons come and go each on its own; the state is that of the gravest one, and with none it is
`decoding`. Audio is heard in `decoding` and `degraded` only.
"""

from __future__ import annotations

from typing import Literal, get_args

from realtime.events import Emit, Event

State = Literal["waiting", "warming", "decoding", "degraded", "muted", "stopped"]

STATES: tuple[State, ...] = get_args(State)
REASONS: dict[str, State] = {
    "stopped": "stopped",
    "no stream": "waiting",
    "refused": "muted",
    "stalled": "muted",
    "stale": "muted",
    "masks": "muted",
    "operator": "muted",
    "warming": "warming",
    "overdue": "degraded",
    "masked": "degraded",
    "not finite": "degraded",
    "late": "degraded",
    "burst": "degraded",
    "sound": "degraded",
    "record": "degraded",
}
"""Every reason and the state it asks for."""
_GRAVEST_FIRST: tuple[State, ...] = ("stopped", "waiting", "muted", "warming", "degraded")


class States:
    """Reasons to the state; tells an event when the state, or what it is for, changes."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._why: dict[str, str] = {}
        self._told: tuple[State, tuple[str, ...]] | None = None
        self.state: State = "waiting"
        """Of this moment."""

    def set(self, reason: str, why: str | None, now: float) -> None:
        """A reason holds from `now` on, for `why` in words; None ends it."""
        self.update({reason: why}, now)

    def update(self, reasons: dict[str, str | None], now: float) -> None:
        """Several reasons at once, one change of state."""
        changed = False
        for reason, why in reasons.items():
            assert reason in REASONS
            changed |= (why is not None) != (reason in self._why)
            if why is None:
                self._why.pop(reason, None)
            else:
                self._why[reason] = why
        if changed or self._told is None:
            self._settle(now)

    def holds(self, reason: str) -> bool:
        """Whether a reason holds."""
        return reason in self._why

    @property
    def audible(self) -> bool:
        """Whether what is decoded now may be heard."""
        return self.state in ("decoding", "degraded")

    @property
    def why(self) -> str:
        """What the state is for, in words; empty while all is well. May be asked by any thread."""
        # A copy is made in one go; the hop path may change the original meanwhile.
        reasons, state = self._why.copy(), self.state
        return "; ".join(why for reason, why in reasons.items() if REASONS[reason] == state)

    def _causes(self) -> tuple[str, ...]:
        return tuple(reason for reason in self._why if REASONS[reason] == self.state)

    def _settle(self, now: float) -> None:
        asked = {REASONS[reason] for reason in self._why}
        self.state = next((state for state in _GRAVEST_FIRST if state in asked), "decoding")
        current = (self.state, tuple(sorted(self._causes())))
        if current == self._told:
            return
        self._told = current
        self._emit(Event(self.state, now, {"why": self.why, "reasons": sorted(self._why)}))
