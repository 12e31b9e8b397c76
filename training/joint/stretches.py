"""Stretches of several patients in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.networks.network import SpeechNetwork
from models.streaming import Floats
from training.stretches import Part, Stretches


@dataclass(frozen=True)
class PatientPart(Part):
    """A part whose cuts say whose they are.

    `patient` counts from 0; cuts have `width` channels and one more: zeros after the part's own,
    then the patient from 1 on, as `training.joint.network.JointConv` wants it.
    """

    patient: int
    width: int

    def cut(self, hop: int, hops: int) -> tuple[Floats, Floats]:
        """As a part's, with the channels that are added."""
        features, mel = super().cut(hop, hops)
        marked = np.zeros((len(features), self.width + 1), np.float32)
        marked[:, : features.shape[1]] = features
        marked[:, -1] = self.patient + 1
        return marked, mel


def patient_parts(
    parts: Sequence[Part], patient: int, width: int, own: SpeechNetwork, joint: SpeechNetwork
) -> list[PatientPart]:
    """A patient's parts, mels brought from the patient's mean and deviation to the joint ones.

    Normalised by the joint network's they are what the patient's own would make of its own mels.
    """
    return [
        PatientPart(part.features, _moved(part.mel, own, joint), part.clock, patient, width)
        for part in parts
    ]


def _moved(mel: Floats, own: SpeechNetwork, joint: SpeechNetwork) -> Floats:
    moved: Floats = joint.denormalise(own.normalise(torch.from_numpy(mel))).numpy()
    return moved


class JointStretches(Stretches):
    """Batches with as many stretches of one patient as of another, but for what is left over.

    Row `i` of a batch is of patient `i` modulo patients, however long each one's recording is.
    """

    def __init__(self, parts: Sequence[Part], *args: Any, **kwargs: Any) -> None:
        super().__init__(parts, *args, **kwargs)
        whose = np.array([p.patient for p in parts if isinstance(p, PatientPart)])[
            self._starts[:, 0]
        ]
        self._per_patient = [self._starts[whose == patient] for patient in np.unique(whose)]

    def _choose(self, rng: np.random.Generator) -> NDArray[np.int64]:
        patients = len(self._per_patient)
        starts = [self._per_patient[row % patients] for row in range(self.batch)]
        return np.stack([mine[rng.integers(len(mine))] for mine in starts])

    def _changed(self, features: Tensor, number: int) -> Tensor:
        """Augmentation leaves alone who it is."""
        changed = super()._changed(features[:, :, :-1], number)
        return torch.cat([changed, features[:, :, -1:]], 2)
