"""The phases of training, with the contrastive loss over patients."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from training.joint.contrast import contrastive, embedding, watched
from training.joint.network import patients_of
from training.joint.stretches import JointStretches
from training.phase_run import PhaseRun
from training.phases import Batch, EncoderPhase, NetworkPhase, Phase
from training.stretches import Stretches


class _Contrasted(Phase):
    """Adds the contrastive loss in training; a check's `loss` is that of decoding alone."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """As without, and `contrastive`, before its weight."""
        joint = self.settings.joint
        with watched(self.network.encoder) as frames:
            found = super().losses(batch)
        if not joint.contrastive:
            return found
        features, _ = batch
        embedded = embedding(frames[0], len(features))
        apart = contrastive(embedded, patients_of(features), joint.margin)
        return {**found, "loss": found["loss"] + joint.contrastive * apart, "contrastive": apart}


class JointEncoderPhase(_Contrasted, EncoderPhase):
    """The encoders of all patients."""


class JointNetworkPhase(_Contrasted, NetworkPhase):
    """The networks of all patients."""


JOINT_PHASES: tuple[type[Phase], ...] = (JointEncoderPhase, JointNetworkPhase)
"""In the order in which they are trained."""


class JointRun(PhaseRun):
    """A phase over stretches of several patients."""

    stretches: ClassVar[type[Stretches]] = JointStretches
