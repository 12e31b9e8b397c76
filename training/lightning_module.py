"""What is optimised: frames before and after the post-net, decoded from a cold start."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch
from torch import Tensor

from models.hops import HopClock
from models.networks.causal import CausalNetwork
from training.settings import OptimiserSettings


class CausalModule(L.LightningModule):
    """Squared error on normalised log-mel, with scheduled teacher forcing (Bengio et al. 2015).

    A frame fed back is the true one with a probability that falls linearly over training, drawn
    per frame; at inference it is always the network's own.
    """

    def __init__(
        self,
        network: CausalNetwork,
        clock: HopClock,
        settings: OptimiserSettings,
        lookahead: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.settings, self.lookahead = network, settings, lookahead
        self._ticks = [clock.ticks(k) for k in range(settings.stretch_hops)]

    @property
    def teacher_ratio(self) -> float:
        """Share of true frames fed back at this step."""
        s = self.settings
        progress = min(1.0, self.global_step / max(1.0, s.teacher_until * s.steps))
        return s.teacher_start + (s.teacher_end - s.teacher_start) * progress

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Loss of one batch of stretches."""
        features, mel = batch
        target = self._delayed(self.network.normalise(mel))
        forced = torch.rand(mel.shape[1], mel.shape[0], device=mel.device) < self.teacher_ratio
        out = self.network(features, self._ticks, target, forced)
        warm = self.settings.warm_hops + self.lookahead
        wanted = target[:, warm:]
        before = torch.mean((out.before[:, warm:] - wanted) ** 2)
        after = torch.mean((out.after[:, warm:] - wanted) ** 2)
        self.log("loss", after, prog_bar=True)
        self.log("teacher", self.teacher_ratio, prog_bar=True)
        return before + after

    def _delayed(self, target: Tensor) -> Tensor:
        if not self.lookahead:
            return target
        return torch.cat([target[:, :1].expand(-1, self.lookahead, -1), target], 1)[
            :, : target.shape[1]
        ]

    def configure_optimizers(self) -> Any:
        """AdamW and a one-cycle schedule over the steps (Smith & Topin 2019)."""
        s = self.settings
        optimiser = torch.optim.AdamW(
            self.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, s.learning_rate, total_steps=s.steps + 1, pct_start=0.15
        )
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]


class StopAfter(L.Callback):
    """Ends training at a time limit; `stopped_at` then holds the step."""

    def __init__(self, minutes: float) -> None:
        self._deadline = time.monotonic() + 60.0 * minutes
        self.stopped_at: int | None = None

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Check the clock."""
        if time.monotonic() > self._deadline and trainer.global_step < trainer.max_steps:
            self.stopped_at = trainer.global_step
            trainer.should_stop = True
