"""The weights of the best check, and an end to a training that no longer gets better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from training.checkpoints import read_tensors, write_tensors
from training.settings import ValidationSettings


class Best(L.Callback):
    """Keeps the network's weights at the best check; stops after `patience` others.

    Parameters
    ----------
    settings : what is compared, and patience.
    path : file to keep the weights in as well, or none.
    """

    def __init__(self, settings: ValidationSettings, path: Path | None = None) -> None:
        self.settings, self.path = settings, path
        self.score: float | None = None
        self.step = self.idle = 0
        self.weights: dict[str, Tensor] = {}

    @property
    def exhausted(self) -> bool:
        """Whether patience is at its end."""
        return self.idle >= self.settings.patience

    @property
    def told(self) -> float | None:
        """The best score as it was logged: a loss is lower, r is higher."""
        return -self.score if self.score and self.settings.monitor == "loss" else self.score

    def value(self, metrics: dict[str, Any]) -> float:
        """The monitored score, higher is better."""
        found = float(metrics[f"validation/{self.settings.monitor}"])
        return -found if self.settings.monitor == "loss" else found

    def on_validation_end(self, trainer: L.Trainer, module: Any) -> None:
        """Compare; keep or count."""
        if trainer.state.fn != "fit":
            return
        value = self.value(trainer.callback_metrics)
        if self.score is None or value > self.score + self.settings.least:
            self.score, self.step, self.idle = value, module.step, 0
            state = module.network.state_dict()
            self.weights = {k: v.detach().cpu().clone() for k, v in state.items()}
            if self.path is not None and trainer.is_global_zero:
                write_tensors(self.weights, self.path)
        else:
            self.idle += 1
        if self.exhausted:
            trainer.should_stop = True

    def restore(self, network: torch.nn.Module) -> None:
        """Give the network the best weights."""
        network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Scores; the weights have a file of their own."""
        return {"score": self.score, "step": self.step, "idle": self.idle}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Scores, and the weights from their file."""
        self.score, self.step = state_dict["score"], state_dict["step"]
        self.idle = state_dict["idle"]
        if self.score is not None and self.path is not None:
            self.weights = read_tensors(self.path)
