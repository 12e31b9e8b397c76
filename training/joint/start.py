"""A training that starts from the shared part of another, for a new patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from models.errors import RecordingError, SettingsError
from models.files import sha256
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec
from training.joint.network import differences, shared_state
from training.joint.settings import JointSettings
from training.phases import PHASES, Batch, EncoderPhase, NetworkPhase, Phase, norms_of


def begin_from(network: SpeechNetwork, spec: BundleSpec, settings: JointSettings) -> dict[str, Any]:
    """Give a fresh network the shared part of an experiment's, if there is one to start from.

    The input convolution stays fresh, mean and deviation of mel bands its own; codes, if it has
    any, come along, as the weights of the decoder belong to them. Encoder frames may stand a
    little closer or wider than where they come from (100 or 102.4 per second): weights do not
    know, and adapt.

    Returns
    -------
    What provenance is to say of it, or nothing.

    Raises
    ------
    SettingsError
        If it is no experiment, or its network has other shapes.
    BundleError
        If its weights are damaged.
    RecordingError
        If at this rate the attention window holds another number of encoder frames.
    """
    begun = started_from(spec, settings)
    if begun is None or settings.start_from is None:
        return {}
    network.load_state_dict(shared_state(begun), strict=False)
    folder = Path(settings.start_from)
    about = {
        "experiment": str(folder.resolve()),
        "weights_sha256": sha256(folder / "weights.pt"),
        "freeze_shared": settings.freeze_shared,
    }
    return {"started_from": about}


def started_from(spec: BundleSpec, settings: JointSettings) -> SpeechNetwork | None:
    """The network to start from, if any.

    Raises
    ------
    SettingsError, BundleError, RecordingError
        As `begin_from`.
    """
    if settings.start_from is None:
        return None
    # An experiment is trained by what imports this.
    from training.experiment import load

    folder = Path(settings.start_from)
    if (folder / "joint.json").exists():
        raise SettingsError(
            f"{folder} holds the experiments of several patients",
            "one experiment, whose shared part is that of all of them",
            f"name one of the folders in {folder}",
        )
    begun = load(folder).trained
    _check(spec, begun.spec, folder)
    return begun.network


def _check(spec: BundleSpec, begun: BundleSpec, folder: Path) -> None:
    other = differences(spec.network, begun.network)
    if other:
        name = other[0]
        raise SettingsError(
            f"network.{name} is {getattr(spec.network, name)!r}",
            f"{getattr(begun.network, name)!r}, as {folder} was trained with",
            "take the table [network] of that experiment; only its convolution may differ",
        )
    if spec.memory_frames != begun.memory_frames:
        raise RecordingError(
            f"at {spec.fs_hz} Hz {spec.memory_frames} encoder frames fill the attention window",
            f"{begun.memory_frames}, as at {begun.fs_hz} Hz, at which {folder} was trained",
            f"resample the recording to {begun.fs_hz} Hz, or train afresh",
        )


class StartedEncoderPhase(EncoderPhase):
    """The encoder through a linear read-out that is thrown away (Lee et al. 2015).

    A decoder that has learnt already is left alone: its output layers listen to its GRU.
    """

    def __init__(self, network: SpeechNetwork, *args: Any, **kwargs: Any) -> None:
        super().__init__(network, *args, **kwargs)
        self.read_out = nn.Linear(network.encoder.size, network.bands)

    def optimised(self) -> list[nn.Parameter]:
        """The encoder and its read-out."""
        return [*self.network.encoder.parameters(), *self.read_out.parameters()]

    def predict(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
        """The read-out at the end of each hop."""
        features, mel = batch
        read = self.read_out(self.network.hop_frames(features, self.ticks)).float()
        loss = torch.mean((read[:, self.warm :] - self.target(mel)[:, self.warm :]) ** 2)
        return {"loss": loss}, read, None


class _Frozen(Phase):
    """Trains what belongs to the input convolution; batch norm elsewhere stays as it was."""

    def norms(self) -> list[nn.Module]:
        """Those of the convolution."""
        return norms_of(self.network.encoder.conv)

    def train(self, mode: bool = True) -> Self:
        """Frozen batch norm does not follow the batches."""
        super().train(mode)
        mine = self.norms()
        for norm in norms_of(self):
            if norm not in mine:
                norm.eval()
        return self


class FrozenEncoderPhase(_Frozen, StartedEncoderPhase):
    """The input convolution through a frozen encoder and a read-out that is thrown away."""

    def optimised(self) -> list[nn.Parameter]:
        """The convolution and the read-out."""
        return [*self.network.encoder.conv.parameters(), *self.read_out.parameters()]


class FrozenNetworkPhase(_Frozen, NetworkPhase):
    """The input convolution through all that is frozen."""

    def optimised(self) -> list[nn.Parameter]:
        """The convolution."""
        return list(self.network.encoder.conv.parameters())


def phases(settings: JointSettings) -> tuple[type[Phase], ...]:
    """The phases of one patient's training."""
    if settings.start_from is None:
        return PHASES
    if settings.freeze_shared:
        return FrozenEncoderPhase, FrozenNetworkPhase
    return StartedEncoderPhase, NetworkPhase
