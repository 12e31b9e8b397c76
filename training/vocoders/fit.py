"""From speech to a trained vocoder in a folder of its own.

training.json      settings, corpora with their licences, what every stage says of itself
weights.pt         the network's tensors (loaded with `weights_only=True`)
vocoder/           the neural vocoder, exported and proved (`models/vocoder.py`), or
waveglow.pt        the WaveGlow, as `convert-waveglow` writes it
training/          clips, logs, and per stage `last.ckpt`, `best.pt` and `final.pt`

While it runs, its state is in `FOLDER.training`; interrupted, it goes on from there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import nn

from models.errors import BusyOutputError, SeegvoxError, SettingsError
from models.files import new_folder, refuse_busy
from models.networks.vocoder import VocoderNetwork
from models.networks.waveglow import WaveGlow, add_weight_norm
from training.vocoders.begun import (
    BEGUN,
    PATIENT,
    Begun,
    about_corpus,
    files_of,
    patient_corpus,
    read_begun,
    state_of,
)
from training.vocoders.clips import Clip, Clips, divide, make_clips, read_clips
from training.vocoders.corpora import Corpus, read_corpus
from training.vocoders.decoded import read_decoded
from training.vocoders.flow_clips import FlowStretches, cut
from training.vocoders.flow_clips import stacked as flow_batch
from training.vocoders.leave import leave
from training.vocoders.patient import patient_speech
from training.vocoders.phases import Adversarial, Flow, Reconstruction, VocoderPhase
from training.vocoders.run import StageOutcome, StageRun
from training.vocoders.settings import VocoderTraining
from training.vocoders.start import start_from
from training.vocoders.stretches import Decoded, SpeechStretches, whole

CHECKED = 12
"""Held-out files that every check goes over, at most."""

Told = Callable[[str], None]


def train_vocoder(
    begun: Begun, folder: Path, progress: bool = True, told: Told = lambda line: None
) -> dict[str, Any]:
    """Read the speech, train, export, and write the folder; what it says of itself.

    Raises
    ------
    BusyOutputError
        Before any work, if `folder` exists or holds an interrupted training, and overwriting was
        not asked for.
    RecordingError, SettingsError
        If the speech or the settings do not serve.
    TrainingError
        If the loss is not finite, or the state cannot be written.
    BundleError
        If the exported graph is not the network.
    """
    refuse_busy(folder, begun.overwrite)
    state = state_of(folder)
    if state.exists() and not begun.overwrite:
        raise BusyOutputError(
            f"{state} holds an interrupted training",
            "a new folder",
            f"go on with `seegvox train-vocoder --resume {folder}`, or give --overwrite",
        )
    if not begun.speech and begun.patient is None:
        raise SettingsError("no speech was given", "folders or files of speech", "name one")
    corpora = [read_corpus(path) for path in begun.speech]
    with new_folder(state, overwrite=True) as partial:
        if begun.patient is not None:
            patient_speech(begun.patient, partial / PATIENT)
        (partial / BEGUN).write_text(json.dumps(begun.as_json(), indent=1))
    try:
        corpora += patient_corpus(begun, state)
        make_clips(files_of(corpora), state / "clips", told)
        return _train(begun, corpora, folder, progress, told)
    except SeegvoxError:
        if not any(state.glob("*/last.ckpt")):
            # There is nothing to resume.
            shutil.rmtree(state)
        raise


def resume(folder: Path, progress: bool = True, told: Told = lambda line: None) -> dict[str, Any]:
    """Go on with an interrupted training, to the result that it would have had.

    Raises
    ------
    SettingsError
        If there is none.
    """
    begun = read_begun(folder)
    corpora = [*map(read_corpus, begun.speech), *patient_corpus(begun, state_of(folder))]
    if not (state_of(folder) / "clips" / "clips.json").exists():
        make_clips(files_of(corpora), state_of(folder) / "clips", told)
    return _train(begun, corpora, folder, progress, told)


# --- training -----------------------------------------------------------------------------------


def _train(
    begun: Begun, corpora: list[Corpus], folder: Path, progress: bool, told: Told
) -> dict[str, Any]:
    settings, state = begun.settings, state_of(folder)
    L.seed_everything(settings.seed, verbose=False)
    clips = read_clips(state / "clips")
    training, held_out = divide(clips.clips, settings.validation_share)
    told(f"{clips.minutes:.1f} minutes of speech in {len(clips.clips)} files")
    network = _network(begun, clips, training)
    decoded = [one for path in begun.decoded for one in read_decoded(path)]
    outcomes: dict[str, StageOutcome] = {}
    used_s = 0.0
    for module in _stages(network, settings):
        run = StageRun(module, settings, state, used_s)
        outcome = run.finished()
        if outcome is None:
            first = run.begun()
            batches = _batches(module, clips, training, decoded, first)
            outcome = run.run(batches, _held_out(module, clips, held_out), progress)
        outcomes[module.name], used_s = outcome, outcome.used_s
    about = {
        "settings": settings.model_dump(mode="json"),
        "corpora": [about_corpus(corpus) for corpus in corpora],
        "decoded": [str(path) for path in begun.decoded],
        "start": begun.as_json()["start"],
        "minutes": round(clips.minutes, 2),
        "held_out_files": [clip.name for clip in held_out],
        "skipped_files": list(clips.skipped),
        "stages": {name: asdict(outcome) for name, outcome in outcomes.items()},
        "torch": torch.__version__,
    }
    golden = np.array(clips.mel[held_out[0].first : held_out[0].first + held_out[0].hops])
    with new_folder(folder, begun.overwrite) as partial:
        made = leave(network.cpu().eval(), settings, about, golden, partial)
    state.rename(folder / "training")
    return {**about, "made": str(folder / made)}


def _network(begun: Begun, clips: Clips, training: Sequence[Clip]) -> nn.Module:
    """Fresh, with the statistics of the training files; or where another one ended."""
    settings = begun.settings
    if settings.kind == "waveglow":
        flow = WaveGlow(settings.waveglow)
        if begun.start is not None:
            start_from(flow, begun.start)
        add_weight_norm(flow)
        return flow
    network = VocoderNetwork(settings.network)
    mel = np.concatenate([clips.mel[c.first : c.first + c.hops] for c in training[:2000]])
    network.mel_mean.copy_(torch.from_numpy(mel.mean(0)))
    network.mel_std.copy_(torch.from_numpy(np.maximum(mel.std(0), 1e-2)))
    if begun.start is not None:
        start_from(network, begun.start)
    return network


def _stages(network: nn.Module, settings: VocoderTraining) -> list[VocoderPhase]:
    if isinstance(network, WaveGlow):
        return [Flow(network, settings)]
    assert isinstance(network, VocoderNetwork)
    kinds: tuple[type[Reconstruction], ...] = (Reconstruction, Adversarial)
    stages = [kind(network, settings) for kind in kinds]
    return [stage for stage in stages if stage.stage.steps]


def _batches(
    module: VocoderPhase,
    clips: Clips,
    training: Sequence[Clip],
    decoded: Sequence[Decoded],
    first: int,
) -> Any:
    settings, stage = module.settings, module.stage
    if isinstance(module, Flow):
        return FlowStretches(clips, training, settings, first)
    return SpeechStretches(
        clips,
        training,
        stage,
        settings.degrade,
        settings.seed + len(module.name),
        first,
        decoded,
        settings.decoded_share,
    )


def _held_out(module: VocoderPhase, clips: Clips, held_out: Sequence[Clip]) -> list[Any]:
    """Some held-out files, every second one degraded as in training."""
    chosen = held_out[:: max(1, len(held_out) // CHECKED)][:CHECKED]
    settings = module.settings
    if isinstance(module, Flow):
        segment = settings.segment
        return [flow_batch([cut(clips, clip.first, segment)]) for clip in chosen]
    degrade = settings.degrade.model_copy(update={"share": 1.0})
    return [
        whole(clips, clip, degrade if i % 2 and settings.degrade.share else None, seed=i)
        for i, clip in enumerate(chosen)
        if clip.hops > 40
    ]
