"""Networks of several patients: an input convolution each, everything else in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.networks.convolution import ConvStack
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec, NetworkSpec

OWN = ("conv", "conv_channels", "conv_kernels")
"""Settings of the input convolution, in which networks that share the rest may differ."""


class JointConv(nn.Module):
    """Each row of a batch through the convolution of its patient.

    The last channel names the patient, from 1 on; it is 0 where a window reaches beyond a run.
    A patient's own channels come first, what follows them up to the last is padding.

    Only for whole runs from a cold start, which training consists of: it carries no tails.

    Parameters
    ----------
    stacks : one per patient.
    channels : feature channels of each.
    """

    def __init__(self, stacks: Sequence[ConvStack], channels: Sequence[int]) -> None:
        super().__init__()
        self.stacks, self.channels = nn.ModuleList(stacks), list(channels)

    def initial_tails(self, batch: int) -> list[Tensor]:
        """None: see above."""
        return []

    def forward(self, x: Tensor, tails: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`(batch, time, channels)` to `(batch, ticks, features)`."""
        patients = patients_of(x)
        rows, outputs = [], []
        for number, (stack, channels) in enumerate(zip(self.stacks, self.channels, strict=True)):
            mine = torch.nonzero(patients == number)[:, 0]
            if len(mine):
                assert isinstance(stack, ConvStack)
                cold = stack.initial_tails(len(mine))
                rows.append(mine)
                outputs.append(stack(x[mine][:, :, :channels], cold)[0])
        return torch.cat(outputs)[torch.argsort(torch.cat(rows))], tails


def patients_of(features: Tensor) -> Tensor:
    """Whose each row of a joint batch is, from 0 on, `(batch,)`."""
    return features[:, :, -1].amax(1).round().long() - 1


def share(network: SpeechNetwork, other: SpeechNetwork) -> None:
    """Give a network the modules of another, the same objects, but for its input convolution.

    Encoder GRUs, attention and decoder with its codes, the bridge, the post-net. Mean and
    deviation of mel bands stay its own.
    """
    network.encoder.grus = other.encoder.grus
    network.decoder, network.bridge = other.decoder, other.bridge
    network.postnet = other.postnet


def shared_state(network: SpeechNetwork) -> dict[str, Tensor]:
    """What networks have in common: weights, batch-norm statistics and codes, by name."""
    own = ("encoder.conv.", "mel_mean", "mel_std")
    return {k: v for k, v in network.state_dict().items() if not k.startswith(own)}


def joined(networks: Sequence[SpeechNetwork], spec: BundleSpec) -> SpeechNetwork:
    """The networks of several patients as one, to be trained; it shares all their modules.

    Its statistics are the means of theirs: it wants mels that were brought to them.

    Parameters
    ----------
    networks : one per patient; all get the first one's shared modules.
    spec : of any of them.
    """
    for network in networks[1:]:
        share(network, networks[0])
    joint = SpeechNetwork.of(spec, networks[0].channels)
    share(joint, networks[0])
    stacks = [network.encoder.conv for network in networks]
    joint.encoder.conv = JointConv(stacks, [n.channels for n in networks])  # type: ignore[assignment]
    joint.mel_mean.copy_(torch.stack([n.mel_mean for n in networks]).mean(0))
    joint.mel_std.copy_(torch.stack([n.mel_std for n in networks]).mean(0))
    return joint


def differences(spec: NetworkSpec, other: NetworkSpec) -> list[str]:
    """Settings in which two networks differ that cannot share what they are to share."""
    names = [name for name in NetworkSpec.model_fields if name not in OWN]
    return [name for name in names if getattr(spec, name) != getattr(other, name)]
