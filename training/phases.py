"""What is optimised, phase by phase, as Lightning modules over one network."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from models.networks.attention import LocationAttention
from models.networks.convolution import ConvLayer
from models.networks.network import Output, SpeechNetwork
from models.spec import BundleSpec
from training.errors import TrainingError
from training.losses import Loss, weighted
from training.schedules import make_schedule
from training.seeds import generator, mixed
from training.settings import ExperimentSettings, PhaseSettings
from training.validation import Validation

Batch = tuple[Tensor, Tensor]


class Phase(L.LightningModule):
    """A phase of training: optimiser, schedule, and targets on the hops of a stretch.

    Parameters
    ----------
    network : what is trained; phases work on the same object, one after the other.
    spec : clock and look-ahead.
    settings : of the experiment; the phase's own are those of its name.
    speech_threshold : mean log-mel above which a frame is speech.
    """

    name: ClassVar[str]

    def __init__(
        self,
        network: SpeechNetwork,
        spec: BundleSpec,
        settings: ExperimentSettings,
        speech_threshold: float = inf,
    ) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        self.phase: PhaseSettings = getattr(settings.optimiser, self.name)
        self.lookahead = spec.target_lookahead
        self.ticks = [spec.clock.ticks(k) for k in range(self.phase.stretch_hops)]
        self.speech_threshold = speech_threshold
        self.validation = Validation(speech_threshold, settings.log.examples)
        # Steps made before an interruption: Lightning's own count starts at zero each time.
        self.first = 0
        self.resumed: dict[str, Any] = {}
        self._hooks: list[RemovableHandle] = []

    @property
    def step(self) -> int:
        """Optimiser steps made in this phase."""
        return self.first + int(self.global_step)

    def target(self, mel: Tensor) -> Tensor:
        """Normalised mel, as much later as the decoder looks back."""
        return self.network.normalise(self._delayed(mel))

    def _delayed(self, mel: Tensor) -> Tensor:
        if not self.lookahead:
            return mel
        first = mel[:, :1].expand(-1, self.lookahead, -1)
        return torch.cat([first, mel], 1)[:, : mel.shape[1]]

    @property
    def warm(self) -> int:
        """Hops at a stretch's start that do not count."""
        return self.phase.warm_hops + self.lookahead

    def counted(self, mel: Tensor) -> Tensor:
        """Weight of each hop's loss, `(batch, hops)`: 0 before the memory is warm, more in speech.

        Most of a frame's variance is whether there is speech at all, which is soon learned.
        """
        speech = self._delayed(mel).mean(2) > self.speech_threshold
        weight = 1 + (self.settings.loss.speech_weight - 1) * speech.to(mel.dtype)
        weight[:, : self.warm] = 0
        return weight

    def optimised(self) -> list[nn.Parameter]:
        """What this phase changes; the rest is frozen meanwhile."""
        raise NotImplementedError

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of training stretches: `loss`, their sum, and its parts."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
        """As at inference: losses, normalised frames, and alignments if there are any."""
        raise NotImplementedError

    def norms(self) -> list[nn.Module]:
        """Batch-norm layers whose statistics this phase makes."""
        return norms_of(self)

    def setup(self, stage: str) -> None:
        """Freeze what is not trained: DDP, made after this, waits for every other gradient."""
        if stage == "fit":
            mine = {id(p) for p in self.optimised()}
            for parameter in self.parameters():
                parameter.requires_grad_(id(parameter) in mine)

    def on_fit_start(self) -> None:
        """Dropout after the encoder; loss scaling of half precision as it was."""
        if self.settings.optimiser.encoder_dropout:
            self._hooks.append(self.network.encoder.register_forward_hook(self._dropped))
        scaler = self.resumed.get(type(self.trainer.precision_plugin).__qualname__)
        if scaler:
            self.trainer.precision_plugin.load_state_dict(scaler)

    def on_fit_end(self) -> None:
        """Everything may be trained again, and nothing is dropped."""
        self.requires_grad_(True)
        while self._hooks:
            self._hooks.pop().remove()

    def _dropped(self, encoder: nn.Module, _: Any, output: tuple[Tensor, Any]) -> Any:
        frames, state = output
        share = self.settings.optimiser.encoder_dropout
        return F.dropout(frames, share, encoder.training), state

    def configure_optimizers(self) -> Any:
        """AdamW (Loshchilov & Hutter 2019) and the phase's schedule, where they were left."""
        optimiser = torch.optim.AdamW(
            self.optimised(),
            lr=self.phase.learning_rate,
            weight_decay=self.settings.optimiser.weight_decay,
        )
        schedule = make_schedule(optimiser, self.phase)
        if self.resumed:
            optimiser.load_state_dict(self.resumed["optimizer_states"][0])
            schedule.load_state_dict(self.resumed["lr_schedulers"][0])
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The step as this phase counts it."""
        checkpoint["step"] = self.step

    def on_train_batch_start(self, *_: Any) -> None:
        """Dropout follows from the step: see `training.seeds`."""
        torch.manual_seed(mixed(self.settings.seed, self.name, self.step, self.global_rank))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of one batch of stretches.

        Raises
        ------
        TrainingError
            If it is not finite.
        """
        found = self.losses(batch)
        if not torch.isfinite(found["loss"]):
            raise TrainingError(
                f"the loss is {found['loss'].item()} at step {self.step} of phase '{self.name}'",
                "a finite loss",
                "lower its learning_rate or gradient_clip, or look for extreme values",
            )
        self._log({"loss" if k == "loss" else f"train/{k}": v for k, v in found.items()}, bar=True)
        return found["loss"]

    def validation_step(self, batch: Batch, _: int) -> None:
        """Collect what is scored when the whole validation part has been seen."""
        features, mel = batch
        losses, frames, alignment = self.predict((features, mel))
        truth = self.network.denormalise(self.target(mel))
        self.validation.add(losses, truth, self.network.denormalise(frames), alignment, self.warm)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the validation part."""
        self._log({f"validation/{k}": v for k, v in self.validation.close().items()})

    def _log(self, values: dict[str, Any], bar: bool = False) -> None:
        apart = self.trainer.world_size > 1
        for key, value in values.items():
            shown = bar and key == "loss"
            self.log(key, value, prog_bar=shown, sync_dist=apart, batch_size=1)
        # Lightning takes the loggers' step from here: a resumed log goes on where it was.
        self.log("step", float(self.step), batch_size=1)


def norms_of(module: nn.Module) -> list[nn.Module]:
    """Its batch-norm layers."""
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


class EncoderPhase(Phase):
    """The encoder alone, read out by the decoder's own output layers from its newest frame.

    A hop costs a fifth of the whole network's, whose decoder must be unrolled: the encoder sees
    five times as much data in the same time. The next phase starts from what was reached here:
    see `quieten`.
    """

    name = "encoder"

    def optimised(self) -> list[nn.Parameter]:
        """The encoder and the output layers."""
        decoder = self.network.decoder
        parts = self.network.encoder, decoder.dense, decoder.project
        return [parameter for part in parts for parameter in part.parameters()]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error of the read-out."""
        return self.predict(batch)[0]

    def predict(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
        """The read-out at the end of each hop."""
        features, mel = batch
        read = self._read_out(self.network.hop_frames(features, self.ticks)).float()
        loss = weighted((read - self.target(mel)) ** 2, self.counted(mel))
        return {"loss": loss}, read, None

    def _read_out(self, newest: Tensor) -> Tensor:
        """What the decoder gives while its GRU is silent and only the newest frame attended."""
        decoder = self.network.decoder
        age = decoder.attention.ages[decoder.attention.places - 1]
        batch, hops = newest.shape[:2]
        silent = newest.new_zeros(batch, hops, decoder.spec.decoder_size)
        seen = torch.cat([silent, newest, age.expand(batch, hops, -1)], 2)
        return decoder.frames(decoder.project(F.elu(decoder.dense(seen))))


def quieten(network: SpeechNetwork) -> None:
    """Let a fresh decoder start from the encoder's read-out: its GRU unheard, attention by age.

    A decoder that starts from random weights makes the encoder forget. On the simulated patient
    that settings were tried on (gain 1.1, seed 0) the held-out speech-only r was .198 with this
    start, .149 with a random one (and a larger network phase, as it then needed).
    """
    decoder = network.decoder
    with torch.no_grad():
        decoder.dense.weight[:, : decoder.spec.decoder_size] = 0
        if isinstance(decoder.attention, LocationAttention):
            decoder.attention.score.weight.zero_()


def average_in_time(network: SpeechNetwork) -> None:
    """Start every convolution as a mean over its span, with random weights across channels.

    Amplitude at 1024 Hz is nearly all noise from sample to sample, and speech moves it within tens
    of milliseconds: kernels that start random over time too must first unlearn that. For features
    of amplitude only; a band signal has a mean of zero. Weights keep their size.
    """
    with torch.no_grad():
        for layer in network.encoder.conv.modules():
            if isinstance(layer, ConvLayer):
                weight = layer.conv.weight
                weight.copy_(weight.mean(-1, keepdim=True).expand_as(weight) * layer.kernel**0.5)


class NetworkPhase(Phase):
    """The whole network, with scheduled teacher forcing (Bengio et al. 2015).

    A frame fed back is the true one with a probability that falls linearly over training, drawn
    per frame; at inference it is always the network's own.
    """

    name = "network"

    def __init__(self, network: SpeechNetwork, *args: Any, **kwargs: Any) -> None:
        super().__init__(network, *args, **kwargs)
        self.loss = Loss(self.settings.loss, network)

    @property
    def teacher_ratio(self) -> float:
        """Share of true frames fed back at this step."""
        s = self.settings.optimiser
        progress = min(1.0, self.step / max(1.0, s.teacher_until * self.phase.steps))
        return s.teacher_start + (s.teacher_end - s.teacher_start) * progress

    def optimised(self) -> list[nn.Parameter]:
        """Everything."""
        return list(self.parameters())

    def forced(self, mel: Tensor) -> Tensor:
        """Where the true frame is fed back, `(hops, batch)`: this process's part of the draw."""
        batch, hops = mel.shape[:2]
        rng = generator(self.settings.seed, self.name, "teacher", self.step)
        drawn = torch.rand(hops, batch * self.trainer.world_size, generator=rng)
        first = batch * self.trainer.global_rank
        return (drawn[:, first : first + batch] < self.teacher_ratio).to(mel.device)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The experiment's loss before and after the post-net."""
        features, mel = batch
        target = self.target(mel)
        out = self.network(features, self.ticks, target, self.forced(mel))
        return self._loss(out, target, mel)

    def predict(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
        """Fed with its own frames throughout."""
        features, mel = batch
        out = self.network(features, self.ticks)
        return self._loss(out, self.target(mel), mel), out.after.float(), out.alignment

    def _loss(self, out: Output, target: Tensor, mel: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.loss(out, target, self.counted(mel))
        return found


PHASES: tuple[type[Phase], ...] = (EncoderPhase, NetworkPhase)
"""In the order in which they are trained."""
