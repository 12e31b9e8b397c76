"""From parts of a recording to a trained network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from models.errors import RecordingError
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec
from models.streaming import Floats
from training.codebooks import set_codebook
from training.joint.start import begin_from, phases
from training.phase_run import Data, Outcome, PhaseRun
from training.phases import Phase, average_in_time, quieten
from training.scores import fit_speech_threshold
from training.settings import ExperimentSettings
from training.stretches import Part


@dataclass(frozen=True)
class Fitted:
    """A trained network and what training says of itself."""

    network: SpeechNetwork
    provenance: dict[str, Any]


def build_network(spec: BundleSpec, channels: int) -> SpeechNetwork:
    """A fresh network of the shapes that a spec states, as training starts it."""
    network = SpeechNetwork.of(spec, channels)
    if spec.front_end.rectify:
        average_in_time(network)
    return network


def fit(
    parts: Sequence[Part],
    spec: BundleSpec,
    settings: ExperimentSettings,
    progress: bool = True,
    *,
    validation: Sequence[Part] = (),
    folder: Path | None = None,
) -> Fitted:
    """Train on contiguous parts; the same seed and machine give the same network.

    Parameters
    ----------
    parts : training parts; every statistic comes from them alone.
    spec : of the bundle to be.
    settings : of the experiment.
    progress : show bars.
    validation : parts that decide when to stop and which weights to keep.
    folder : where checkpoints and logs are kept; what an interrupted training left there is
        continued, to the result that it would have had.

    Raises
    ------
    RecordingError
        If a part is shorter than a stretch.
    TrainingError
        If the loss is not finite, or a checkpoint can be neither written nor read.
    """
    check_validation(validation, settings)
    L.seed_everything(settings.seed, verbose=False)
    network = build_network(spec, parts[0].features.shape[1])
    mel = np.concatenate([part.mel for part in parts])
    set_statistics(network, mel)
    quieten(network)
    begun = begin_from(network, spec, settings.joint)
    threshold = fit_speech_threshold(mel)
    modules = (kind(network, spec, settings, threshold) for kind in phases(settings.joint))
    outcomes = run_phases(modules, Data(parts, validation), settings, folder, progress)
    about = provenance(parts, spec, settings, outcomes)
    return Fitted(network.cpu().eval(), {**about, **begun})


def set_statistics(network: SpeechNetwork, mel: Floats) -> None:
    """Mean and deviation per band, and codes if it has any, of training mels `(hops, 80)`."""
    set_moments(network, mel)
    if network.decoder.codes is not None:
        set_codebook(network, mel)


def set_moments(network: SpeechNetwork, mel: Floats) -> None:
    """Mean and deviation per band."""
    network.mel_mean.copy_(torch.from_numpy(mel.mean(0)))
    network.mel_std.copy_(torch.from_numpy(np.maximum(mel.std(0), 1e-3)))


def run_phases(
    modules: Iterable[Phase],
    data: Data,
    settings: ExperimentSettings,
    folder: Path | None,
    progress: bool,
    run: type[PhaseRun] = PhaseRun,
) -> dict[str, Outcome]:
    """One phase after the other, but for those without steps; what each says of itself."""
    outcomes: dict[str, Outcome] = {}
    used_s = 0.0
    for module in modules:
        if module.phase.steps:
            phase = run(module, data, settings, folder, used_s)
            outcomes[module.name] = phase.finished() or phase.run(progress)
            used_s = outcomes[module.name].used_s
    return outcomes


def check_validation(validation: Sequence[Part], settings: ExperimentSettings) -> None:
    """A validation part must hold at least one tile of every phase."""
    optimiser = settings.optimiser
    wanted = max(p.stretch_hops for p in (optimiser.encoder, optimiser.network) if p.steps)
    longest = max((len(part.mel) for part in validation), default=wanted)
    if longest < wanted:
        raise RecordingError(
            f"the longest validation part has {longest} hops",
            f"at least {wanted}, one stretch",
            "set validation.fraction higher, or optimiser.*.stretch_hops lower",
        )


def provenance(
    parts: Sequence[Part],
    spec: BundleSpec,
    settings: ExperimentSettings,
    outcomes: dict[str, Outcome],
) -> dict[str, Any]:
    """What a training says of itself."""
    return {
        "seed": settings.seed,
        "steps": {name: outcome.steps for name, outcome in outcomes.items()},
        "stopped_by_time": any(o.stopped == "time" for o in outcomes.values()),
        "phases": {name: asdict(outcome) for name, outcome in outcomes.items()},
        "training_minutes": round(sum(len(p.mel) for p in parts) * float(spec.hop_s) / 60, 2),
        "optimiser": settings.optimiser.model_dump(),
        "torch": torch.__version__,
    }
