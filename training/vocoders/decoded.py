"""Decoded mels to train a vocoder on: each fold of a recording decoded by a network that never saw
it.

A vocoder trained on clean frames alone has not met what a decoder gives. Frames that a network
decodes from its own training data are too good; so the recording is cut into folds of whole trials,
and each is decoded, streamed as live, by a network trained on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import RecordingError
from models.files import new_folder, refuse_busy
from models.mel import BANDS, RATE, VOCODER_HOP
from models.streaming import Floats
from realtime.recordings import Recording, audio_at
from training.evaluate import stream_mel
from training.fit import fit
from training.folds import FoldSettings, make_folds, needed_guard_s
from training.held_out import HeldOut, held_out_fold
from training.package import Trained
from training.prepare import bundle_spec
from training.settings import ExperimentSettings
from training.streamed import streamed
from training.vocoders.stretches import Decoded

Told = Callable[[str], None]


def decode_folds(
    recording: Recording,
    experiment: ExperimentSettings,
    folds: FoldSettings,
    folder: Path,
    overwrite: bool = False,
    told: Told = lambda line: None,
) -> int:
    """Decode every fold and write `fold-N.npz` with `mel`, `true_mel` and `sound`; hops in all.

    Raises
    ------
    SettingsError, RecordingError
        If the recording has too few trials or a fold is too short.
    BusyOutputError
        If `folder` exists and `overwrite` is not set.
    """
    refuse_busy(folder, overwrite)
    guard = needed_guard_s(bundle_spec(recording, experiment), folds.guard_s)
    audio = audio_at(recording, RATE)
    hops = 0
    with new_folder(folder, overwrite) as partial:
        for i, fold in enumerate(make_folds(recording, folds, guard)):
            held = held_out_fold(recording, experiment, fold, audio=audio)
            made = decode_fold(held, experiment)
            np.savez_compressed(partial / f"fold-{i}.npz", **made)
            hops += len(made["mel"])
            told(f"fold {i}: {len(made['mel'])} hops decoded")
    return hops


def decode_fold(held: HeldOut, experiment: ExperimentSettings) -> dict[str, Any]:
    """Decoded frames of a held-out part, the true ones, and what was said."""
    fitted = fit(
        list(held.training), held.spec, experiment, False, validation=list(held.validation)
    )
    with streamed(Trained(held.spec, fitted.network, held.statistics)) as network:
        mel = stream_mel(network.pipeline, held.seeg)[held.spec.target_lookahead :]
    hops = min(len(mel), len(held.mel), len(held.audio) // VOCODER_HOP)
    sound: Floats = held.audio[: hops * VOCODER_HOP].astype(np.float32)
    return {"mel": mel[:hops], "true_mel": held.mel[:hops], "sound": sound}


def read_decoded(folder: Path) -> list[Decoded]:
    """What `decode_folds` left.

    Raises
    ------
    RecordingError
        If it is no such folder, or damaged.
    """
    found = []
    for path in sorted(folder.glob("fold-*.npz")):
        with np.load(path, allow_pickle=False) as file:
            mel, sound = file["mel"], file["sound"]
        if mel.ndim != 2 or mel.shape[1] != BANDS or len(sound) != len(mel) * VOCODER_HOP:
            raise RecordingError(
                f"{path} holds {mel.shape} mel frames and {len(sound)} samples",
                f"(hops, {BANDS}) and {VOCODER_HOP} samples for each",
                "make it again with `seegvox train-vocoder --decode`",
            )
        found.append(Decoded(mel, sound))
    if not found:
        raise RecordingError(
            f"{folder} holds no decoded folds",
            "fold-0.npz and so on",
            "make them with `seegvox train-vocoder --decode RECORDING --out FOLDER`",
        )
    return found
