"""From several recordings to a folder with one experiment per patient.

OUT/NAME/        an ordinary experiment, to be exported and scored like any other
OUT/joint.json   who was trained together
OUT/training/    logs and the last state

`NAME` is the recording's BIDS subject, or its file name without its ending.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.errors import RecordingError, SeegvoxError, SettingsError
from models.files import new_file, new_folder
from realtime.recordings import content_sha256
from training.experiment import feature_folder, save
from training.joint.fit import Patient, check_patients, fit_joint
from training.package import Trained
from training.prepare import Prepared, prepare
from training.reading import read_for, settings_for
from training.settings import ExperimentSettings
from training.workspace import Begun, Workspace, first_process

RESERVED = ("training", "joint.json")


@dataclass(frozen=True)
class _Read:
    """One patient, prepared."""

    name: str
    recording: Path
    sha256: str
    settings: ExperimentSettings
    prepared: Prepared

    @property
    def patient(self) -> Patient:
        found = self.prepared
        validation = [found.validation] if found.validation is not None else []
        return Patient(self.name, found.spec, [found.training], validation)


def train_joint(
    recordings: Sequence[Path],
    settings: ExperimentSettings,
    folder: Path,
    progress: bool = True,
    overwrite: bool = False,
) -> dict[str, Trained]:
    """Read, prepare, fit together, and write one experiment per patient, all or none.

    Each patient's data are split, and its front end's and mel statistics taken, as if it were
    alone. Settings are everybody's; `front_end.bad_contacts` counts wherever a name occurs.

    Raises
    ------
    BusyOutputError
        As `training.experiment.train`.
    RecordingError, SettingsError
        If a recording was given twice, or as `fit_joint`; what a recording lacks is told with its
        name.
    TrainingError
        As `training.experiment.train`.
    """
    workspace = Workspace(folder)
    workspace.refuse_busy(overwrite)
    patients = _read(recordings, settings, folder)
    check_patients([one.patient for one in patients], settings)
    # No recording has this hash: what stops before the next line is not resumed as one patient's.
    together = "+".join(one.sha256 for one in patients)
    workspace.begin(Begun(patients[0].recording, together, settings, overwrite))
    _remember(workspace, patients)
    return _train(patients, settings, workspace, progress, overwrite)


def interrupted(folder: Path) -> bool:
    """Whether it is a joint training that was interrupted there."""
    return _patients_file(Workspace(folder)).exists()


def resume_joint(
    folder: Path, recordings: Sequence[Path] = (), progress: bool = True
) -> dict[str, Trained]:
    """Go on with an interrupted joint training, to the result that it would have had.

    Parameters
    ----------
    folder : as given to `train_joint`.
    recordings : where the recordings lie now, in the same order; as recorded if none.

    Raises
    ------
    SettingsError, RecordingError, TrainingError
        As `training.experiment.resume`.
    """
    workspace = Workspace(folder)
    begun = workspace.begun()
    known: list[dict[str, str]] = json.loads(_patients_file(workspace).read_text())
    paths = list(recordings) or [Path(one["recording"]) for one in known]
    patients = _read(paths, begun.settings, folder)
    if [patient.sha256 for patient in patients] != [one["sha256"] for one in known]:
        raise RecordingError(
            f"{', '.join(map(str, paths))} are not what was trained on",
            "the same recordings in the same order: " + ", ".join(one["name"] for one in known),
            "give those files, or train again",
        )
    return _train(patients, begun.settings, workspace, progress, begun.overwrite)


def _train(
    patients: Sequence[_Read],
    settings: ExperimentSettings,
    workspace: Workspace,
    progress: bool,
    overwrite: bool,
) -> dict[str, Trained]:
    fitted = fit_joint(
        [one.patient for one in patients], settings, progress, folder=workspace.state
    )
    split = {
        "test_fraction": settings.test_fraction,
        "validation_fraction": settings.validation.fraction,
    }
    trained: dict[str, Trained] = {}
    for one, found in zip(patients, fitted, strict=True):
        told = {**found.provenance, "recording_sha256": one.sha256, "split": split}
        spec = one.prepared.spec.model_copy(update={"provenance": told})
        trained[one.name] = Trained(spec, found.network, one.prepared.statistics)
    if first_process():
        with new_folder(workspace.folder, overwrite) as partial:
            for one in patients:
                save(trained[one.name], one.recording, one.settings, partial / one.name)
            (partial / "joint.json").write_text(_about(patients))
        workspace.close()
    return trained


def _about(patients: Sequence[_Read]) -> str:
    about = [
        {"name": one.name, "recording": str(one.recording.resolve()), "sha256": one.sha256}
        for one in patients
    ]
    return json.dumps(about, indent=2)


def _patients_file(workspace: Workspace) -> Path:
    return workspace.state / "patients.json"


def _remember(workspace: Workspace, patients: Sequence[_Read]) -> None:
    if first_process():
        with new_file(_patients_file(workspace)) as partial:
            partial.write_text(_about(patients))


def _read(recordings: Sequence[Path], settings: ExperimentSettings, folder: Path) -> list[_Read]:
    """Every recording, under a name of its own."""
    cache = feature_folder(settings, folder)
    found: list[_Read] = []
    for path, name in zip(recordings, patient_names(recordings), strict=True):
        with _naming(name):
            read = read_for(path, settings)
            own = settings_for(read, settings.model_copy(update={"name": name}))
            hashed = content_sha256(read.files)
            _check_new(read.path, hashed, found)
            found.append(_Read(name, read.path, hashed, own, prepare(read, own, cache)))
    return found


def patient_names(recordings: Sequence[Path]) -> list[str]:
    """What each patient is called: its BIDS subject, else the file, else with its folder's name.

    Raises
    ------
    SettingsError
        If that does not tell them apart.
    """
    files = [path.resolve() for path in recordings]
    stems = [path.name if path.is_dir() else path.stem for path in files]
    subjects = [re.sub(r"^(sub-[A-Za-z0-9]+)_.*", r"\1", stem) for stem in stems]
    placed = [f"{path.parent.name}-{stem}" for path, stem in zip(files, stems, strict=True)]
    for names in (subjects, stems, placed):
        if len(set(names)) == len(names) and not set(names) & set(RESERVED):
            return names
    raise SettingsError(
        "the recordings " + ", ".join(map(str, recordings)) + " give the same name twice",
        "each recording once, and files or folders of different names",
        "leave one out, or rename it",
    )


def _check_new(path: Path, hashed: str, others: Sequence[_Read]) -> None:
    for other in others:
        if hashed == other.sha256:
            raise RecordingError(
                f"{path} has the same content as {other.recording}",
                "one recording of each patient",
                "give each once",
            )


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """An error of one of several recordings says of which."""
    try:
        yield
    except SeegvoxError as err:
        raise type(err)(f"{name}: {err.found}", err.expected, err.todo) from err
