"""One experiment, step by step, and the folder that it leaves.

experiment.json    settings, recording, provenance
spec.json          the bundle's spec, before proof and scores
weights.pt         the network's tensors (loaded with `weights_only=True`)
statistics.npz     of the training part
training/          logs, and per phase `last.ckpt`, `best.pt` (with validation) and `final.pt`
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.bundle import Bundle
from models.errors import BundleError, RecordingError, SettingsError
from models.files import new_folder, refuse_busy
from models.frontend import Statistics
from models.spec import BundleSpec
from models.toml import validated
from realtime.pipeline import Pipeline
from realtime.recordings import Recording, content_sha256
from training.evaluate import evaluate
from training.fit import build_network, fit
from training.held_out import split_cues
from training.joint.start import started_from
from training.package import Trained, package
from training.prepare import Prepared, prepare
from training.reading import read_for, settings_for
from training.scores import ScoreTable
from training.settings import ExperimentSettings
from training.workspace import Begun, Workspace, first_process


@dataclass(frozen=True)
class Exported:
    """A bundle, its scores, and the parts that they came from."""

    bundle: Bundle
    scores: ScoreTable
    prepared: Prepared


def train(
    recording: Path,
    settings: ExperimentSettings,
    folder: Path,
    progress: bool = True,
    overwrite: bool = False,
) -> Trained:
    """Read, prepare, fit, and write the experiment's folder.

    While it runs, its state and logs are in `FOLDER.training`; interrupted, it can be continued
    with `resume`. At the end they become `FOLDER/training`.

    Raises
    ------
    BusyOutputError
        Before any work, if `folder` exists or holds an interrupted training, and `overwrite` is
        not set.
    RecordingError, SettingsError
        If the recording or the settings do not serve.
    TrainingError
        If the loss is not finite, or the state cannot be written.
    """
    workspace = Workspace(folder)
    workspace.refuse_busy(overwrite)
    read = read_for(recording, settings)
    settings = settings_for(read, settings)
    prepared = prepare(read, settings, feature_folder(settings, folder))
    started_from(prepared.spec, settings.joint)
    begun = Begun(read.path.resolve(), content_sha256(read.files), settings, overwrite)
    workspace.begin(begun)
    return _train(prepared, begun, workspace, progress)


def resume(folder: Path, recording: Path | None = None, progress: bool = True) -> Trained:
    """Go on with an interrupted training, to the result that it would have had.

    Parameters
    ----------
    folder : as given to `train`.
    recording : where the recording lies now; as recorded if None.

    Raises
    ------
    SettingsError
        If there is no interrupted training.
    RecordingError
        If the recording is not the one that it began with.
    TrainingError
        As `train`; also if its state cannot be read.
    """
    workspace = Workspace(folder)
    begun = workspace.begun()
    read = read_for(recording or begun.recording, begun.settings)
    same_recording(read, begun.sha256)
    prepared = prepare(read, begun.settings, feature_folder(begun.settings, folder))
    begun = replace(begun, recording=read.path)
    return _train(prepared, begun, workspace, progress)


def _train(prepared: Prepared, begun: Begun, workspace: Workspace, progress: bool) -> Trained:
    settings = begun.settings
    validation = [prepared.validation] if prepared.validation is not None else []
    fitted = fit(
        [prepared.training],
        prepared.spec,
        settings,
        progress,
        validation=validation,
        folder=workspace.state,
    )
    provenance = {
        **fitted.provenance,
        "recording_sha256": begun.sha256,
        "split": {
            "test_fraction": settings.test_fraction,
            "validation_fraction": settings.validation.fraction,
        },
    }
    spec = prepared.spec.model_copy(update={"provenance": provenance})
    trained = Trained(spec, fitted.network, prepared.statistics)
    if first_process():
        save(trained, begun.recording, settings, workspace.folder, begun.overwrite)
        workspace.close()
    return trained


def feature_folder(settings: ExperimentSettings, folder: Path) -> Path:
    """Where an experiment's features are kept."""
    return Path(settings.feature_cache) if settings.feature_cache else folder.parent / ".features"


def save(
    trained: Trained,
    recording: Path,
    settings: ExperimentSettings,
    folder: Path,
    overwrite: bool = False,
) -> None:
    """Write an experiment's folder, whole or not at all.

    What the recording was (`recording_sha256`) stands in the provenance of the spec.
    """
    about = {
        "recording": str(recording.resolve()),
        "recording_sha256": trained.spec.provenance.get("recording_sha256", ""),
        "settings": settings.model_dump(mode="json"),
        "provenance": trained.spec.provenance,
    }
    with new_folder(folder, overwrite) as partial:
        (partial / "experiment.json").write_text(json.dumps(about, indent=2))
        (partial / "spec.json").write_text(trained.spec.model_dump_json(indent=2))
        torch.save(trained.network.state_dict(), partial / "weights.pt")
        statistics = trained.statistics
        np.savez(partial / "statistics.npz", mean=statistics.mean, std=statistics.std)


@dataclass(frozen=True)
class Experiment:
    """An experiment read back; `recording` is where its recording lay, `sha256` what it was."""

    trained: Trained
    settings: ExperimentSettings
    recording: Path
    sha256: str


def load(folder: Path) -> Experiment:
    """Read an experiment's folder.

    Raises
    ------
    SettingsError
        If it is no experiment or was written by another version.
    BundleError
        If the weights do not fit the spec.
    """
    try:
        about: dict[str, Any] = json.loads((folder / "experiment.json").read_text())
        raw = json.loads((folder / "spec.json").read_text())
        with np.load(folder / "statistics.npz", allow_pickle=False) as file:
            statistics = Statistics(file["mean"], file["std"])
    except (OSError, ValueError) as err:
        raise SettingsError(
            f"{folder} is no experiment ({err})", "a folder that `seegvox train` wrote", ""
        ) from err
    spec = validated(BundleSpec, raw, str(folder / "spec.json"))
    settings = validated(ExperimentSettings, about["settings"], str(folder / "experiment.json"))
    network = build_network(spec, len(statistics.mean))
    try:
        network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    except (OSError, RuntimeError, pickle.UnpicklingError) as err:
        raise BundleError(
            f"{folder / 'weights.pt'}: {str(err).splitlines()[0]}",
            "the weights of this experiment",
            "train again",
        ) from err
    trained = Trained(spec, network.eval(), statistics)
    return Experiment(trained, settings, Path(about["recording"]), about["recording_sha256"])


def export(
    folder: Path, bundle: Path, recording: Path | None = None, overwrite: bool = False
) -> Exported:
    """Export an experiment, prove it, score it on the held-out part, write the bundle.

    Parameters
    ----------
    folder : the experiment's.
    bundle : the new bundle's.
    recording : where the recording lies now; as recorded in the experiment if None.
    """
    refuse_busy(bundle, overwrite)
    experiment = load(folder)
    read = read_for(recording or experiment.recording, experiment.settings)
    same_recording(read, experiment.sha256)
    trained = experiment.trained
    prepared = prepare(read, experiment.settings, feature_folder(experiment.settings, folder))
    scored: list[ScoreTable] = []

    def score(pipeline: Pipeline) -> dict[str, Any]:
        scored.append(evaluate(pipeline, prepared, cues=split_cues(read, experiment.settings)))
        return scored[0].as_json()

    written = package(
        trained, bundle, prepared.held_out_seeg, score, overwrite, training=prepared.training
    )
    return Exported(written, scored[0], prepared)


def same_recording(recording: Recording, expected: str) -> None:
    """What is scored as held out must be what training left out.

    Raises
    ------
    RecordingError
        If the files it was read from are not those that were trained on.
    """
    found = content_sha256(recording.files)
    if found != expected:
        read = ", ".join(file.name for file in recording.files)
        raise RecordingError(
            f"{recording.path} has SHA-256 {found[:16]} ({read})",
            f"{expected[:16]}, the recording that was trained on: else held out means nothing",
            "give that recording as it was, sidecars included, or train again",
        )
