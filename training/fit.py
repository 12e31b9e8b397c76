"""From parts of a recording to a trained network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from models.mel import BANDS
from models.networks.causal import CausalNetwork
from models.spec import BundleSpec
from training.lightning_module import CausalModule, StopAfter
from training.settings import ExperimentSettings
from training.stretches import Part, Stretches


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
    optimiser = settings.optimiser
    stretches = Stretches(
        list(parts), optimiser.stretch_hops, optimiser.batch, optimiser.steps, settings.seed
    )
    module = CausalModule(network, spec.clock, optimiser, spec.target_lookahead)
    limit = StopAfter(optimiser.max_minutes)
    _train(module, stretches, limit, settings, progress)
    provenance = {
        "seed": settings.seed,
        "steps": limit.stopped_at or optimiser.steps,
        "stopped_by_time": limit.stopped_at is not None,
        "training_minutes": round(sum(len(p.mel) for p in parts) * float(spec.hop_s) / 60, 2),
        "optimiser": optimiser.model_dump(),
        "torch": torch.__version__,
    }
    return Fitted(network.cpu().eval(), provenance)


def _train(
    module: CausalModule,
    stretches: Stretches,
    limit: StopAfter,
    settings: ExperimentSettings,
    progress: bool,
) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Lightning advises loader workers and validation; batches are cut from memory here.
        warnings.filterwarnings("ignore", module="lightning")
        trainer = L.Trainer(
            max_steps=settings.optimiser.steps,
            gradient_clip_val=settings.optimiser.gradient_clip,
            callbacks=[limit],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
            devices=1,
        )
        trainer.fit(module, DataLoader(stretches, batch_size=None))
