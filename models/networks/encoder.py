"""The encoder: convolutions, then a unidirectional GRU with carried state."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from models.networks.convolution import ConvStack
from models.spec import NetworkSpec


class EncoderState(NamedTuple):
    """Convolution tails, one per layer, and the GRU's state `(layers, batch, size)`."""

    tails: list[Tensor]
    hidden: Tensor


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
        self.gru = nn.GRU(
            spec.conv_features, spec.encoder_size, spec.encoder_layers, batch_first=True
        )

    def initial_state(self, batch: int) -> EncoderState:
        """A cold start."""
        hidden = next(self.gru.parameters()).new_zeros(
            self.spec.encoder_layers, batch, self.spec.encoder_size
        )
        return EncoderState(self.conv.initial_tails(batch), hidden)

    def forward(self, x: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """Frames and next state; a whole signal or one tick, it is the same call."""
        features, tails = self.conv(x, state.tails)
        frames, hidden = self.gru(features, state.hidden)
        return frames, EncoderState(tails, hidden)
