"""WaveGlow: audio to white noise by invertible steps, and back (Prenger, Valle & Catanzaro 2019).

Audio is taken in groups of eight samples as channels. Each of twelve flows mixes the channels by an
invertible 1x1 convolution (Kingma & Dhariwal 2018, Glow) and then scales and shifts one half of
them by what the other half and the mel frames say (affine coupling, Dinh et al. 2017). Every four
flows two channels are done and go out early. Noise is an argument: the same gives the same sound.
Tensors have the names of NVIDIA's published checkpoints with weight norm removed.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from models.networks.wavenet import CouplingNet
from models.waveglow import WaveGlowSpec


class Flowed(NamedTuple):
    """Audio after all flows: `z` `(batch, group, time)`, and what the density changed by.

    `log_scale` and `log_det` are sums over batch and time, of the couplings and of the 1x1
    convolutions.
    """

    z: Tensor
    log_scale: Tensor
    log_det: Tensor


class InvertibleConv(nn.Module):
    """A square matrix across channels; starts as a rotation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 1, bias=False)
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        if torch.det(rotation) < 0:
            rotation[:, 0] = -rotation[:, 0]
        self.conv.weight.data = rotation[..., None].contiguous()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed channels, and the log determinant over batch and time."""
        log_det = torch.linalg.slogdet(self.conv.weight[..., 0])[1]
        return self.conv(x), len(x) * x.shape[2] * log_det

    def inverse(self, x: Tensor) -> Tensor:
        """The channels before they were mixed."""
        weight = self.conv.weight
        # In double precision: a small matrix, and its error would go through all flows.
        undone = torch.linalg.inv(weight[..., 0].double()).to(weight.dtype)
        return F.conv1d(x, undone[..., None])


class WaveGlow(nn.Module):
    """The whole flow.

    Parameters
    ----------
    spec : shapes.
    """

    def __init__(self, spec: WaveGlowSpec) -> None:
        super().__init__()
        self.spec = spec
        self.upsample = nn.ConvTranspose1d(spec.mels, spec.mels, spec.window, stride=spec.hop)
        self.WN = nn.ModuleList(CouplingNet(spec, width // 2) for width in spec.widths)
        self.convinv = nn.ModuleList(InvertibleConv(width) for width in spec.widths)

    def condition(self, mel: Tensor, samples: int | None = None) -> Tensor:
        """Mel frames `(batch, mels, frames)` at the rate of the groups.

        Parameters
        ----------
        samples : of audio that they describe, a multiple of the group; `hop` per frame if None.

        Returns
        -------
        `(batch, mels * group, samples / group)`.
        """
        samples = mel.shape[2] * self.spec.hop if samples is None else samples
        fine: Tensor = self.upsample(mel)[:, :, :samples]
        batch, bands, length = fine.shape
        groups = fine.reshape(batch, bands, length // self.spec.group, self.spec.group)
        return groups.transpose(2, 3).reshape(batch, bands * self.spec.group, -1)

    def forward(self, mel: Tensor, audio: Tensor) -> Flowed:
        """Audio to noise.

        Parameters
        ----------
        mel : `(batch, mels, frames)`, frames enough for the audio.
        audio : `(batch, samples)`, a multiple of the group.
        """
        condition = self.condition(mel, audio.shape[1])
        x = audio.reshape(len(audio), -1, self.spec.group).transpose(1, 2)
        done: list[Tensor] = []
        log_scale = log_det = x.new_zeros(())
        for k, (coupling, mixing) in enumerate(zip(self.WN, self.convinv, strict=True)):
            if self._is_early(k):
                done.append(x[:, : self.spec.early_size])
                x = x[:, self.spec.early_size :]
            x, change = mixing(x)
            kept, moved = x.chunk(2, 1)
            shift, scale = coupling(kept, condition)
            x = torch.cat([kept, torch.exp(scale) * moved + shift], 1)
            log_scale, log_det = log_scale + scale.sum(), log_det + change
        return Flowed(torch.cat([*done, x], 1), log_scale, log_det)

    def inverse(self, mel: Tensor, z: Tensor) -> Tensor:
        """Noise to audio `(batch, samples)`: what `forward` undoes.

        Parameters
        ----------
        mel : `(batch, mels, frames)`.
        z : `(batch, group, time)`, early outputs first, as `forward` gives it.
        """
        spec = self.spec
        condition = self.condition(mel, z.shape[2] * spec.group)
        early, x = torch.split(z, [spec.group - spec.widths[-1], spec.widths[-1]], 1)
        for k in reversed(range(spec.flows)):
            kept, moved = x.chunk(2, 1)
            shift, scale = self.WN[k](kept, condition)
            x = torch.cat([kept, (moved - shift) / torch.exp(scale)], 1)
            x = cast(InvertibleConv, self.convinv[k]).inverse(x)
            if self._is_early(k):
                at = early.shape[1] - spec.early_size
                early, back = torch.split(early, [at, spec.early_size], 1)
                x = torch.cat([back, x], 1)
        return x.transpose(1, 2).reshape(len(z), -1)

    def _is_early(self, flow: int) -> bool:
        return flow > 0 and flow % self.spec.early_every == 0


def negative_log_likelihood(flowed: Flowed, sigma: float = 1.0) -> Tensor:
    """Loss per value of `z`, without its constant (Prenger et al. 2019, eq. 9 and 10).

    Parameters
    ----------
    sigma : standard deviation of the noise that is assumed.
    """
    z = flowed.z
    total = (z * z).sum() / (2 * sigma**2) - flowed.log_scale - flowed.log_det
    return total / z.numel()


def add_weight_norm(network: WaveGlow) -> None:
    """Weight norm (Salimans & Kingma 2016) where the published model is trained with it."""
    for layer in _normed(network):
        weight_norm(layer)


def remove_weight_norm(network: WaveGlow) -> None:
    """Plain weights again, of the same values."""
    for layer in _normed(network):
        parametrize.remove_parametrizations(layer, "weight")


def _normed(network: WaveGlow) -> list[nn.Module]:
    found: list[nn.Module] = []
    for coupling in network.WN:
        assert isinstance(coupling, CouplingNet)
        layers = (*coupling.in_layers, *coupling.res_skip_layers)
        found += [coupling.start, coupling.cond_layer, *layers]
    return found
