"""What is optimised, stage by stage, as Lightning modules over one network."""

from __future__ import annotations

from math import cos, pi
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor, nn

from models.mel import VOCODER_HOP
from models.networks.discriminators import Discriminators
from models.networks.vocoder import VocoderNetwork, overlap_add
from models.networks.waveglow import WaveGlow, negative_log_likelihood
from models.streaming import Floats
from training.errors import TrainingError
from training.seeds import mixed
from training.vocoders.losses import SpectralLoss, discriminator_loss, generator_loss
from training.vocoders.settings import StageSettings, VocoderTraining
from training.vocoders.stretches import TAIL, WARM, Batch

# As HiFi-GAN and Vocos have them.
BETAS = (0.8, 0.99)
GRADIENT_CLIP = 1.0
HEARD = 3
"""Held-out files whose sound is logged."""


class VocoderPhase(L.LightningModule):
    """A stage of training: optimisers, their schedule, and what is logged.

    Parameters
    ----------
    network : what is trained; stages work on the same object, one after the other.
    settings : of the training.
    """

    name: ClassVar[str]
    sample_rate: ClassVar[int] = 16_000
    #: optimiser steps that Lightning counts for one of ours
    counted: ClassVar[int] = 1

    def __init__(self, network: nn.Module, settings: VocoderTraining) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        # Steps made before an interruption: Lightning's own count starts at zero each time.
        self.first = 0
        self.resumed: dict[str, Any] = {}
        self.heard: list[tuple[Floats, Floats]] = []

    @property
    def stage(self) -> StageSettings:
        """Of this stage."""
        found: StageSettings = self.settings.reconstruction
        return found

    @property
    def step(self) -> int:
        """Steps made in this stage."""
        return self.first + int(self.global_step) // self.counted

    def trained(self) -> list[list[nn.Parameter]]:
        """Parameters of each optimiser."""
        return [list(self.network.parameters())]

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Losses of a batch: `loss`, their sum, and its parts."""
        raise NotImplementedError

    def sound(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Made and true sound `(batch, samples)`."""
        raise NotImplementedError

    def configure_optimizers(self) -> Any:
        """AdamW (Loshchilov & Hutter 2019) and half a cosine, where they were left."""
        rate = self.stage.learning_rate
        made = [torch.optim.AdamW(p, lr=rate, betas=BETAS) for p in self.trained()]
        schedules = [torch.optim.lr_scheduler.LambdaLR(one, self._share) for one in made]
        if self.resumed:
            for one, state in zip(made, self.resumed["optimizer_states"], strict=True):
                one.load_state_dict(state)
            for schedule, state in zip(schedules, self.resumed["lr_schedulers"], strict=True):
                schedule.load_state_dict(state)
        return made, [{"scheduler": schedule, "interval": "step"} for schedule in schedules]

    def _share(self, step: int) -> float:
        floor = self.stage.floor
        return floor + (1 - floor) * (1 + cos(pi * min(1.0, step / self.stage.steps))) / 2

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The step as this stage counts it."""
        checkpoint["step"] = self.step

    def on_train_batch_start(self, *_: Any) -> None:
        """What is drawn in a step follows from the step: see `training.seeds`."""
        torch.manual_seed(mixed(self.settings.seed, self.name, self.step))

    def training_step(self, batch: Any, _: int) -> Any:
        """Loss of one batch."""
        found = self.losses(batch)
        self.record(found)
        return found["loss"]

    def record(self, found: dict[str, Tensor]) -> None:
        """Log losses of a step.

        Raises
        ------
        TrainingError
            If their sum is not finite.
        """
        if not torch.isfinite(found["loss"]):
            raise TrainingError(
                f"the loss is {found['loss'].item()} at step {self.step} of stage '{self.name}'",
                "a finite loss",
                "lower its learning_rate, or look for extreme values",
            )
        for key, value in found.items():
            name = key if key == "loss" else f"train/{key}"
            self.log(name, value.detach(), prog_bar=key == "loss", batch_size=1)
        # Lightning takes the loggers' step from here: a resumed log goes on where it was.
        self.log("step", float(self.step), batch_size=1)

    def on_validation_epoch_start(self) -> None:
        """Nothing heard yet."""
        self.heard = []

    def validation_step(self, batch: Any, _: int) -> None:
        """Losses of a held-out file; the first few are kept to be heard."""
        found = self.losses(batch)
        for key, value in found.items():
            self.log(f"validation/{key}", value, batch_size=1)
        self.log("step", float(self.step), batch_size=1)
        if len(self.heard) < HEARD:
            made, true = self.sound(batch)
            self.heard.append((made[0].float().cpu().numpy(), true[0].float().cpu().numpy()))


class Reconstruction(VocoderPhase):
    """Spectra alone: multi-resolution STFT and mel losses."""

    name = "reconstruction"

    def __init__(self, network: VocoderNetwork, settings: VocoderTraining) -> None:
        super().__init__(network, settings)
        self.spectral = SpectralLoss()

    def sound(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Made and true sound of the hops that carry loss."""
        mel, start, true = batch
        made = overlap_add(self.network(mel, start)[0])
        first, last = WARM * VOCODER_HOP, (mel.shape[1] - TAIL) * VOCODER_HOP
        return made[:, first:last], true[:, first:last]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `VocoderPhase.losses`."""
        return self._spectral(*self.sound(batch))

    def _spectral(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.spectral(made, true)
        weights = self.settings.losses
        return {"loss": weights.stft * found["stft"] + weights.mel * found["mel"], **found}


class Adversarial(Reconstruction):
    """The same against judges (Goodfellow et al. 2014; least squares, with feature matching)."""

    name = "adversarial"
    counted = 2

    def __init__(self, network: VocoderNetwork, settings: VocoderTraining) -> None:
        super().__init__(network, settings)
        self.judges = Discriminators()
        self.automatic_optimization = False

    @property
    def stage(self) -> StageSettings:
        """Of this stage."""
        found: StageSettings = self.settings.adversarial
        return found

    def trained(self) -> list[list[nn.Parameter]]:
        """The vocoder's, and the judges'."""
        return [list(self.network.parameters()), list(self.judges.parameters())]

    def training_step(self, batch: Batch, _: int) -> None:
        """First the judges, then the vocoder."""
        vocoder, judges = self.optimizers()  # type: ignore[attr-defined]
        made, true = self.sound(batch)
        told = discriminator_loss(self.judges(made.detach()), self.judges(true))
        self._descend(judges, told, self.judges)
        found = self._spectral(made, true)
        judged = generator_loss(self.judges(made), self.judges(true))
        weights = self.settings.losses
        against = (
            weights.adversarial * judged["adversarial"] + weights.features * judged["features"]
        )
        found = {**found, **judged, "loss": found["loss"] + against, "judges": told}
        self.record(found)
        self._descend(vocoder, found["loss"], self.network)
        for schedule in self.lr_schedulers():  # type: ignore[union-attr]
            schedule.step()

    def _descend(self, optimiser: Any, loss: Tensor, part: nn.Module) -> None:
        optimiser.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(part.parameters(), GRADIENT_CLIP)
        optimiser.step()


class Flow(VocoderPhase):
    """WaveGlow: the likelihood of true sound under the flow."""

    name = "flow"
    sample_rate = 22_050

    def losses(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Negative log-likelihood per value."""
        return {"loss": negative_log_likelihood(self.network(*batch), self.settings.sigma)}

    @torch.no_grad()
    def sound(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """A sample at the usual .6 of the noise, and what was said."""
        mel, true = batch
        assert isinstance(self.network, WaveGlow)
        shape = len(true), self.network.spec.group, true.shape[1] // self.network.spec.group
        generator = torch.Generator().manual_seed(self.settings.seed)
        z = 0.6 * torch.randn(shape, generator=generator).to(true)
        return self.network.inverse(mel, z), true
