"""A training's time limit."""

from __future__ import annotations

import time
from typing import Any

import lightning as L


class StopAfter(L.Callback):
    """Ends training when its time is used up; time before an interruption counts.

    Parameters
    ----------
    limit_s : seconds of training allowed, over all phases.
    used_s : seconds used by earlier phases.
    """

    def __init__(self, limit_s: float, used_s: float = 0.0) -> None:
        self._limit, self._before = limit_s, used_s
        self._began = time.monotonic()
        self.stopped = False

    @property
    def used_s(self) -> float:
        """Seconds of training so far."""
        return self._before + time.monotonic() - self._began

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Check the clock; one process out of time stops all."""
        late = trainer.strategy.reduce_boolean_decision(self.used_s > self._limit, all=False)
        if late and trainer.global_step < trainer.max_steps:
            self.stopped = trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Time used."""
        return {"used_s": self.used_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from there."""
        self._before, self._began = state_dict["used_s"], time.monotonic()
