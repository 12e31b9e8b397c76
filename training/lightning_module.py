"""What is optimised, phase by phase, as Lightning modules over one network."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from models.hops import HopClock
from models.networks.causal import CausalNetwork
from training.settings import OptimiserSettings, PhaseSettings

Batch = tuple[Tensor, Tensor]


class Phase(L.LightningModule):
    """A phase of training: optimiser, schedule, and targets on the hops of a stretch."""

    def __init__(
        self,
        network: CausalNetwork,
        clock: HopClock,
        phase: PhaseSettings,
        settings: OptimiserSettings,
        lookahead: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.phase, self.settings = network, phase, settings
        self.lookahead = lookahead
        self.ticks = [clock.ticks(k) for k in range(phase.stretch_hops)]

    def target(self, mel: Tensor) -> Tensor:
        """Normalised mel, as much later as the decoder looks back."""
        target = self.network.normalise(mel)
        if not self.lookahead:
            return target
        first = target[:, :1].expand(-1, self.lookahead, -1)
        return torch.cat([first, target], 1)[:, : target.shape[1]]

    def error(self, frames: Tensor, target: Tensor) -> Tensor:
        """Mean squared error over the hops that count."""
        warm = self.phase.warm_hops + self.lookahead
        return torch.mean((frames[:, warm:] - target[:, warm:]) ** 2)

    def configure_optimizers(self) -> Any:
        """AdamW (Loshchilov & Hutter 2019), one-cycle schedule (Smith & Topin 2019)."""
        rate, steps = self.phase.learning_rate, self.phase.steps
        optimiser = torch.optim.AdamW(
            self.parameters(), lr=rate, weight_decay=self.settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, rate, total_steps=steps + 1, pct_start=0.15
        )
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]


class EncoderPhase(Phase):
    """The encoder alone, through a linear read-out that is thrown away (Lee et al. 2015).

    A hop costs a fifth of the whole network's, whose decoder must be unrolled: the encoder sees
    five times as much data in the same time.
    """

    def __init__(self, network: CausalNetwork, *args: Any, **kwargs: Any) -> None:
        super().__init__(network, *args, **kwargs)
        self.read_out = nn.Linear(network.spec.encoder_size, network.bands)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of one batch of stretches."""
        features, mel = batch
        frames, _keys = self.network.encode(features)
        last = torch.tensor(self.ticks, device=features.device) - 1
        loss = self.error(self.read_out(frames[:, last]), self.target(mel))
        self.log("loss", loss, prog_bar=True)
        return loss


class NetworkPhase(Phase):
    """The whole network, with scheduled teacher forcing (Bengio et al. 2015).

    A frame fed back is the true one with a probability that falls linearly over training, drawn
    per frame; at inference it is always the network's own.
    """

    @property
    def teacher_ratio(self) -> float:
        """Share of true frames fed back at this step."""
        s = self.settings
        progress = min(1.0, self.global_step / max(1.0, s.teacher_until * self.phase.steps))
        return s.teacher_start + (s.teacher_end - s.teacher_start) * progress

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of one batch of stretches: before and after the post-net."""
        features, mel = batch
        target = self.target(mel)
        forced = torch.rand(mel.shape[1], mel.shape[0], device=mel.device) < self.teacher_ratio
        out = self.network(features, self.ticks, target, forced)
        loss = self.error(out.after, target)
        self.log("loss", loss, prog_bar=True)
        return loss + self.error(out.before, target)


class StopAfter(L.Callback):
    """Ends training at a time limit; `stopped_at` then holds the step."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self.stopped_at: int | None = None

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Check the clock."""
        if time.monotonic() > self._deadline and trainer.global_step < trainer.max_steps:
            self.stopped_at = trainer.global_step
            trainer.should_stop = True
