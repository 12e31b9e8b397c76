"""The encoder: convolutions, then GRUs; forwards only with carried states, or both ways."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.networks.convolution import ConvStack
from models.networks.grid import Layout
from models.networks.position import sinusoids
from models.networks.recurrence import run_gru
from models.spec import NetworkSpec


class EncoderState(NamedTuple):
    """Convolution tails and GRU states `(directions, batch, size)`, one per layer each."""

    tails: list[Tensor]
    hidden: list[Tensor]


class Encoder(nn.Module):
    """Features `(batch, time, channels)` to frames `(batch, ticks, size)`.

    Causal: forwards, and the attention tells how old a frame is. Otherwise both ways, `size` being
    that of both together, with sinusoidal channels of the place in the window joined to the input.
    """

    def __init__(
        self, spec: NetworkSpec, channels: int, stride: int, layout: Layout | None = None
    ) -> None:
        super().__init__()
        self.spec = spec
        self.conv = ConvStack(spec, channels, stride, layout)
        self.directions = 1 if spec.causal else 2
        self.size = spec.encoder_size * self.directions
        first = spec.conv_features + (0 if spec.causal else spec.position_channels)
        sizes = [first, *[self.size] * spec.encoder_layers]
        # One module per layer: their states are inputs of the step graph, never sliced there.
        self.grus = nn.ModuleList(
            nn.GRU(a, spec.encoder_size, batch_first=True, bidirectional=not spec.causal)
            for a, _ in pairwise(sizes)
        )

    def initial_state(self, batch: int) -> EncoderState:
        """A cold start."""
        zeros = next(self.grus.parameters()).new_zeros
        hidden = [zeros(self.directions, batch, self.spec.encoder_size) for _ in self.grus]
        return EncoderState(self.conv.initial_tails(batch), hidden)

    def forward(self, x: Tensor, state: EncoderState) -> tuple[Tensor, EncoderState]:
        """Frames and next state; a whole signal, a window or one tick, it is the same call."""
        frames, tails = self.conv(x, state.tails)
        if not self.spec.causal:
            frames = torch.cat([frames, self._positions(frames)], 2)
        carried = []
        for gru, hidden in zip(self.grus, state.hidden, strict=True):
            frames, hidden = run_gru(gru, frames, hidden)
            carried.append(hidden)
        return frames, EncoderState(tails, carried)

    def _positions(self, frames: Tensor) -> Tensor:
        place = torch.arange(frames.shape[1], device=frames.device)
        channels = sinusoids(place, self.spec.position_channels).to(frames.dtype)
        return channels.expand(len(frames), -1, -1)
