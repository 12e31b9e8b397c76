"""From parts of a recording to a trained network."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from torch.utils.data import DataLoader

from models.mel import BANDS
from models.networks.causal import CausalNetwork
from models.spec import BundleSpec
from training.lightning_module import EncoderPhase, NetworkPhase, Phase, StopAfter
from training.settings import ExperimentSettings, PhaseSettings
from training.stretches import Part, Stretches

PHASES: dict[str, type[Phase]] = {"encoder": EncoderPhase, "network": NetworkPhase}


@dataclass(frozen=True)
class Fitted:
    """A trained network and what training says of itself."""

    network: CausalNetwork
    provenance: dict[str, Any]


def build_network(spec: BundleSpec, channels: int) -> CausalNetwork:
    """A fresh network of the shapes that a spec states."""
    return CausalNetwork(spec.network, channels, spec.stride, spec.memory_frames, BANDS)


def fit(
    parts: Sequence[Part], spec: BundleSpec, settings: ExperimentSettings, progress: bool = True
) -> Fitted:
    """Train on contiguous parts; the same seed and machine give the same network."""
    L.seed_everything(settings.seed, verbose=False)
    network = build_network(spec, parts[0].features.shape[1])
    mel = np.concatenate([part.mel for part in parts])
    network.mel_mean.copy_(torch.from_numpy(mel.mean(0)))
    network.mel_std.copy_(torch.from_numpy(np.maximum(mel.std(0), 1e-3)))
    deadline = time.monotonic() + 60 * settings.optimiser.max_minutes
    steps = {}
    for name, kind in PHASES.items():
        phase: PhaseSettings = getattr(settings.optimiser, name)
        if phase.steps:
            module = kind(network, spec.clock, phase, settings.optimiser, spec.target_lookahead)
            stretches = Stretches(
                list(parts), phase.stretch_hops, phase.batch, phase.steps, settings.seed
            )
            steps[name] = _train(module, stretches, deadline, progress and name)
    provenance = {
        "seed": settings.seed,
        "steps": steps,
        "stopped_by_time": any(n < getattr(settings.optimiser, k).steps for k, n in steps.items()),
        "training_minutes": round(sum(len(p.mel) for p in parts) * float(spec.hop_s) / 60, 2),
        "optimiser": settings.optimiser.model_dump(),
        "torch": torch.__version__,
    }
    return Fitted(network.cpu().eval(), provenance)


def _train(module: Phase, stretches: Stretches, deadline: float, progress: str | bool) -> int:
    """Run a phase; the number of steps made."""
    limit = StopAfter(deadline)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    callbacks: list[L.Callback] = [limit]
    if progress:
        callbacks.append(Bar(str(progress)))
    with warnings.catch_warnings():
        # Lightning advises loader workers and validation; batches are cut from memory here.
        warnings.filterwarnings("ignore", module="lightning")
        trainer = L.Trainer(
            max_steps=module.phase.steps,
            gradient_clip_val=module.settings.gradient_clip,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=bool(progress),
            devices=1,
        )
        _fit(trainer, module, stretches)
    return int(trainer.global_step)


def _fit(trainer: L.Trainer, module: Phase, stretches: Stretches) -> None:
    try:
        trainer.fit(module, DataLoader(stretches, batch_size=None))
    except SystemExit as err:
        # Lightning turns Ctrl-C into an exit of its own.
        raise KeyboardInterrupt from err


class Bar(TQDMProgressBar):
    """Lightning's bar, under the phase's name."""

    def __init__(self, phase: str) -> None:
        # Into a file or a log, a line now and then is enough.
        super().__init__(refresh_rate=1 if sys.stderr.isatty() else 25)
        self._phase = phase

    def init_train_tqdm(self) -> Any:
        """The bar of a phase."""
        bar = super().init_train_tqdm()
        bar.set_description(f"training: {self._phase}")
        return bar

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """One epoch is the whole phase: no epoch number."""
        self.train_progress_bar.reset(trainer.max_steps)
