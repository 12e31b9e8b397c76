"""A causal network that mends first spectra: the trained half of the vocoder `neural`.

Trunk: causal ConvNeXt blocks (Liu et al. 2022) as in Vocos (Siuzdak 2023), at one frame per hop,
with an inverse short-time Fourier transform as its head. Unlike Vocos it need not invent phases:
it sees the spectrum that a single pass gives (realtime/vocoders/half_hops.py), whose phases run on
without end, which no network of finite memory could carry; and its output is a bounded complex
factor on that spectrum, one at the start. So an untrained network is a single-pass vocoder, and
training can only lead away from there to what its losses call better. That matters where speech
for training is short.

Whole signals and single hops go through the same lines: what a convolution needs of hops before
the block is its tail, zeros at a cold start.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.mel import BANDS, VOCODER_FFT, VOCODER_HOP, hann
from models.vocoder import VocoderNetSpec

BINS = VOCODER_FFT // 2 + 1
BOUND = 4.0
"""Largest real and imaginary part of the factor, less the one it starts from."""
# A bin under this has no phase. A small number added instead is dropped by the exporter: 0 / 0.
_SILENT = 1e-4

Tails = list[Tensor]


class CausalConv(nn.Module):
    """`(batch, hops, in) -> (batch, hops, out)`; output `t` sees hops `t - kernel + 1` to `t`."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.inputs, self.kernel = inputs, kernel
        self.product = nn.Linear(kernel * inputs, outputs)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next tail `(batch, kernel - 1, in)`."""
        padded = torch.cat([tail, x], 1)
        if x.shape[1] == 1:
            windows = padded.flatten(1)[:, None]
        else:
            windows = padded.unfold(1, self.kernel, 1).transpose(2, 3).flatten(2)
        return self.product(windows), padded[:, x.shape[1] :]


class CausalDepthwise(nn.Module):
    """As `CausalConv`, every channel by itself; a sum over the window when a hop comes alone."""

    def __init__(self, size: int, kernel: int) -> None:
        super().__init__()
        self.inputs, self.kernel = size, kernel
        self.weight = nn.Parameter(torch.randn(kernel, size) / kernel**0.5)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next tail."""
        padded = torch.cat([tail, x], 1)
        if x.shape[1] == 1:
            y = (padded * self.weight).sum(1, keepdim=True) + self.bias
        else:
            kernels = self.weight.T[:, None]
            y = F.conv1d(padded.transpose(1, 2), kernels, self.bias, groups=self.inputs)
            y = y.transpose(1, 2)
        return y, padded[:, x.shape[1] :]


class Block(nn.Module):
    """A causal ConvNeXt block: depthwise over time, then two layers over channels, scaled."""

    def __init__(self, spec: VocoderNetSpec) -> None:
        super().__init__()
        self.mix = CausalDepthwise(spec.size, spec.kernel)
        self.norm = nn.LayerNorm(spec.size)
        self.widen = nn.Linear(spec.size, spec.hidden)
        self.narrow = nn.Linear(spec.hidden, spec.size)
        self.scale = nn.Parameter(torch.full((spec.size,), 1.0 / spec.layers))

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next tail."""
        y, tail = self.mix(x, tail)
        return x + self.scale * self.narrow(F.gelu(self.widen(self.norm(y)))), tail


class VocoderNetwork(nn.Module):
    """Mel frames and first spectra to mended spectra.

    Parameters
    ----------
    spec : shapes.
    """

    mel_mean: Tensor
    mel_std: Tensor

    def __init__(self, spec: VocoderNetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mel_mean", torch.full((BANDS,), -6.0))
        self.register_buffer("mel_std", torch.full((BANDS,), 2.5))
        self.embed = CausalConv(BANDS, spec.size, spec.kernel)
        # Two hops: how fast phases turn shows between them.
        self.phases = CausalConv(2 * BINS, spec.size, 2)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.size)
        self.head = nn.Linear(spec.size, 2 * BINS)
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(self.head.bias)

    @property
    def convolutions(self) -> list[tuple[str, int, int]]:
        """Name, hops of tail and channels of everything that has a tail, in order."""
        mixers = [cast(Block, block).mix for block in self.blocks]
        parts: list[tuple[str, CausalConv | CausalDepthwise]]
        parts = [("mel", self.embed), ("phases", self.phases)]
        parts += [(f"block{i}", mixer) for i, mixer in enumerate(mixers)]
        return [(name, part.kernel - 1, part.inputs) for name, part in parts]

    def initial_tails(self, batch: int) -> Tails:
        """Nothing before the first hop."""
        made = self.mel_mean.new_zeros
        return [made(batch, hops, channels) for _, hops, channels in self.convolutions]

    def forward(
        self, mel: Tensor, start: Tensor, tails: Tails | None = None
    ) -> tuple[Tensor, Tails]:
        """Spectra `(batch, hops, 2, 361)`, real and imaginary, and the next tails.

        Parameters
        ----------
        mel : `(batch, hops, 80)`, natural log.
        start : first spectra, `(batch, hops, 2, 361)`.
        tails : of the hops before; those of a cold start if None.
        """
        before = self.initial_tails(len(mel)) if tails is None else tails
        x, mel_tail = self.embed((mel - self.mel_mean) / self.mel_std, before[0])
        size = torch.sqrt((start * start).sum(2, keepdim=True)).clamp(min=_SILENT)
        turned, phase_tail = self.phases((start / size).flatten(2), before[1])
        x, after = x + turned, [mel_tail, phase_tail]
        for block, tail in zip(self.blocks, before[2:], strict=True):
            x, tail = block(x, tail)
            after.append(tail)
        factor = BOUND * torch.tanh(self.head(self.norm(x)) / BOUND)
        return turn(start, factor.reshape(*factor.shape[:2], 2, BINS)), after


def turn(start: Tensor, factor: Tensor) -> Tensor:
    """`start * (1 + factor)` of complex numbers given as `(..., 2, bins)`."""
    real, imaginary = start.unbind(-2)
    more, turned = factor.unbind(-2)
    gain = 1.0 + more
    return torch.stack([gain * real - turned * imaginary, gain * imaginary + turned * real], -2)


def overlap_add(spectra: Tensor) -> Tensor:
    """Sound `(batch, hops * 240)` of spectra `(batch, hops, 2, 361)`, centred on their frames.

    Sample 0 is where hop 0 begins. The first and the last hop each lack a frame that would overlap.
    """
    real, imaginary = spectra.unbind(-2)
    frames = torch.fft.irfft(torch.complex(real, imaginary), VOCODER_FFT)
    window = torch.from_numpy(hann(VOCODER_FFT) / 1.125).to(frames)
    frames = torch.roll(frames, VOCODER_FFT // 2, -1) * window
    batch, hops = frames.shape[:2]
    parts = frames.reshape(batch, hops, 3, VOCODER_HOP)
    # A frame begins a hop before its own.
    total = sum(F.pad(parts[:, :, i], (0, 0, i, 2 - i)) for i in range(3))
    assert isinstance(total, Tensor)
    return total[:, 1 : hops + 1].flatten(1)


class VocoderStep(nn.Module):
    """One hop as it is exported: batch 1, states named, nothing else.

    Parameters
    ----------
    network : trained.
    """

    outputs = ("spectrum",)

    def __init__(self, network: VocoderNetwork) -> None:
        super().__init__()
        self.network = network

    def example(self) -> dict[str, Tensor]:
        """Inputs by name: `mel` `(1, 80)`, `start` `(1, 2, 361)` and a tail per convolution."""
        tails = {
            f"state.{name}": torch.zeros(1, hops, channels)
            for name, hops, channels in self.network.convolutions
        }
        return {"mel": torch.zeros(1, BANDS), "start": torch.zeros(1, 2, BINS), **tails}

    def forward(self, mel: Tensor, start: Tensor, *tails: Tensor) -> tuple[Tensor, ...]:
        """`spectrum` `(1, 2, 361)` and the next tails."""
        spectra, after = self.network(mel[:, None], start[:, None], list(tails))
        return spectra[:, 0], *after
