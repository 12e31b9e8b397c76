"""The encoder: convolutions, then unidirectional GRUs with carried states."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from models.networks.convolution import ConvStack
from models.spec import NetworkSpec


class EncoderState(NamedTuple):
    """Convolution tails and GRU states `(1, batch, size)`, one per layer each."""

    tails: list[Tensor]
    hidden: list[Tensor]


class Encoder(nn.Module):
    """Features `(batch, time, channels)` to frames `(batch, ticks, size)`."""

    def __init__(self, spec: NetworkSpec, channels: int, stride: int) -> None:
        super().__init__()
        self.spec = spec
        self.conv = ConvStack(
            spec.conv,
            channels,
            spec.conv_channels,
            spec.conv_kernels,
            stride,
            spec.conv_features,
        )
        sizes = [spec.conv_features, *[spec.encoder_size] * spec.encoder_layers]
        # One module per layer: their states are inputs of the step graph, never sliced there.
        self.grus = nn.ModuleList(nn.GRU(a, b, batch_first=True) for a, b in pairwise(sizes))

    def initial_state(self, batch: int) -> EncoderState:
        """A cold start."""
        zeros = next(self.grus.parameters()).new_zeros
        hidden = [zeros(1, batch, self.spec.encoder_size) for _ in self.grus]
        return EncoderState(self.conv.initial_tails(batch), hidden)

    def forward(self, x: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """Frames and next state; a whole signal or one tick, it is the same call."""
        frames, tails = self.conv(x, state.tails)
        carried = []
        for gru, hidden in zip(self.grus, state.hidden, strict=True):
            frames, hidden = gru(frames, hidden)
            carried.append(hidden)
        return frames, EncoderState(tails, carried)
