"""From parts of several patients' recordings to one trained network each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np

from models.errors import RecordingError, SettingsError
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec
from models.streaming import Floats
from training.codebooks import set_codebook
from training.fit import (
    Fitted,
    build_network,
    check_validation,
    provenance,
    run_phases,
    set_moments,
)
from training.joint.network import differences, joined
from training.joint.phases import JOINT_PHASES, JointRun
from training.joint.stretches import PatientPart, patient_parts
from training.phase_run import Data
from training.phases import quieten
from training.scores import fit_speech_threshold
from training.settings import ExperimentSettings
from training.stretches import Part


@dataclass(frozen=True)
class Patient:
    """One patient's name, spec of the bundle to be, and parts."""

    name: str
    spec: BundleSpec
    training: Sequence[Part]
    validation: Sequence[Part] = ()


def fit_joint(
    patients: Sequence[Patient],
    settings: ExperimentSettings,
    progress: bool = True,
    *,
    folder: Path | None = None,
) -> list[Fitted]:
    """Train several patients together (Kohler et al. 2022); same seed, same networks.

    Every patient has an input convolution and mel statistics of its own; encoder GRUs, attention,
    decoder and post-net are one. Batches hold as many stretches of one as of another, so the
    post-net's batch norm sees all. The contrastive loss is that of `training.joint.contrast`, on
    the mean encoder frame of each stretch, by `settings.joint`.

    One rate for all: hops and encoder frames of a batch stand on one grid.

    Returns
    -------
    One ordinary network per patient, in their order; the shared part is a copy in each.

    Raises
    ------
    SettingsError
        If there are not two patients of different names, their networks differ, a batch has not
        two stretches of each, or several processes are asked for.
    RecordingError
        If rates differ, or a patient's parts are shorter than a stretch.
    TrainingError
        As `training.fit.fit`.
    """
    check_patients(patients, settings)
    L.seed_everything(settings.seed, verbose=False)
    own = [_network(patient) for patient in patients]
    joint = joined(own, patients[0].spec)
    quieten(joint)
    data = _data(patients, own, joint)
    mel = _mel(data.training)
    set_codebook(joint, mel)
    threshold = fit_speech_threshold(mel)
    modules = (kind(joint, patients[0].spec, settings, threshold) for kind in JOINT_PHASES)
    outcomes = run_phases(modules, data, settings, folder, progress, JointRun)
    together = {
        "patients": [patient.name for patient in patients],
        "contrastive": settings.joint.contrastive,
        "margin": settings.joint.margin,
    }
    return [
        Fitted(
            copy.deepcopy(network).cpu().eval(),
            {
                **provenance(patient.training, patient.spec, settings, outcomes),
                "joint": together,
            },
        )
        for patient, network in zip(patients, own, strict=True)
    ]


def _network(patient: Patient) -> SpeechNetwork:
    network = build_network(patient.spec, patient.training[0].features.shape[1])
    set_moments(network, _mel(patient.training))
    return network


def _mel(parts: Sequence[Part]) -> Floats:
    return np.concatenate([part.mel for part in parts])


def _data(patients: Sequence[Patient], own: Sequence[SpeechNetwork], joint: SpeechNetwork) -> Data:
    width = max(network.channels for network in own)
    training: list[PatientPart] = []
    validation: list[PatientPart] = []
    for number, (patient, network) in enumerate(zip(patients, own, strict=True)):
        training += patient_parts(patient.training, number, width, network, joint)
        validation += patient_parts(patient.validation, number, width, network, joint)
    return Data(training, validation)


def check_patients(patients: Sequence[Patient], settings: ExperimentSettings) -> None:
    """Refuse what cannot be trained together.

    Raises
    ------
    SettingsError, RecordingError
        As `fit_joint`.
    """
    _check_settings(len(patients), settings)
    names = [patient.name for patient in patients]
    if len(set(names)) < len(names):
        raise SettingsError(
            f"patients are named {', '.join(names)}", "a name for each", "rename a recording"
        )
    for patient in patients:
        _check_alike(patients[0], patient)
        _check_length(patient, settings)
        check_validation(patient.validation, settings)


def _check_settings(patients: int, settings: ExperimentSettings) -> None:
    if patients < 2:
        raise SettingsError(
            f"joint training of {patients} patient", "two or more", "train it by itself"
        )
    if settings.joint.start_from is not None:
        raise SettingsError(
            "joint.start_from (--from) with several recordings",
            "one recording: that of the patient to be added",
            "leave it out, or give one recording",
        )
    if settings.machine.devices != 1 or settings.machine.num_nodes != 1:
        raise SettingsError(
            f"joint training with machine.devices = {settings.machine.devices!r} and "
            f"num_nodes = {settings.machine.num_nodes}",
            "1 of each: the contrastive loss compares all stretches of a batch",
            "correct the table [machine]",
        )
    for name, phase in (
        ("encoder", settings.optimiser.encoder),
        ("network", settings.optimiser.network),
    ):
        if phase.steps and phase.batch < 2 * patients:
            raise SettingsError(
                f"optimiser.{name}.batch is {phase.batch} for {patients} patients",
                f"at least {2 * patients}, two stretches of each",
                "set it higher",
            )


def _check_alike(first: Patient, other: Patient) -> None:
    a, b = first.spec, other.spec
    names = differences(a.network, b.network)
    if names or a.target_lookahead != b.target_lookahead:
        what = f"network.{names[0]}" if names else "target_lookahead"
        raise SettingsError(
            f"{what} of {first.name} and of {other.name} differ",
            "one setting for all patients that are trained together",
            "correct it",
        )
    if a.fs_hz != b.fs_hz:
        raise RecordingError(
            f"{first.name} was recorded at {a.fs_hz} Hz, {other.name} at {b.fs_hz} Hz",
            "one rate for all patients that are trained together",
            "resample one of them, or train one and start the other from it with --from",
        )


def _check_length(patient: Patient, settings: ExperimentSettings) -> None:
    optimiser = settings.optimiser
    wanted = max(
        (p.stretch_hops for p in (optimiser.encoder, optimiser.network) if p.steps), default=0
    )
    longest = max(len(part.mel) for part in patient.training)
    if longest <= wanted:
        raise RecordingError(
            f"the longest training part of {patient.name} has {longest} hops",
            f"more than {wanted}, one stretch",
            "give more data or set optimiser.*.stretch_hops lower",
        )
