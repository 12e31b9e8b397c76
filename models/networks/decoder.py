"""The decoder: one attention query and one mel frame per hop."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.attention import Attention
from models.spec import NetworkSpec


class DecoderState(NamedTuple):
    """`(batch, ...)`: last alignment, last frame (normalised), GRU state."""

    alignment: Tensor
    last: Tensor
    hidden: Tensor


class Prenet(nn.Module):
    """Two ReLU layers over the last frame; dropout in training only (Shen et al. 2018, Tacotron 2).

    Deterministic at inference, unlike Tacotron 2's.
    """

    def __init__(self, inputs: int, size: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, size), nn.Linear(size, size)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs) -> (batch, size)`."""
        for layer in (self.first, self.second):
            x = F.dropout(F.relu(layer(x)), self.dropout, self.training)
        return x


class Decoder(nn.Module):
    """One hop: attend with the last GRU state, then step the GRU, ELU and linear layers."""

    def __init__(self, spec: NetworkSpec, attention: Attention, bands: int) -> None:
        super().__init__()
        self.spec, self.bands, self.attention = spec, bands, attention
        context = spec.encoder_size + spec.position_channels
        self.prenet = Prenet(bands, spec.prenet_size)
        self.gru = nn.GRU(context + spec.prenet_size, spec.decoder_size, batch_first=True)
        self.dense = nn.Linear(context + spec.decoder_size, spec.decoder_size)
        self.project = nn.Linear(spec.decoder_size, bands)

    def initial_state(self, batch: int) -> DecoderState:
        """A cold start: nothing attended, the mean frame, an empty GRU."""
        zeros = self.project.weight.new_zeros
        return DecoderState(
            zeros(batch, self.attention.places),
            zeros(batch, self.bands),
            zeros(1, batch, self.spec.decoder_size),
        )

    def forward(
        self, memory: Tensor, keys: Tensor, valid: Tensor, state: DecoderState
    ) -> tuple[Tensor, DecoderState]:
        """Normalised frame `(batch, bands)` and next state."""
        context, alignment = self.attention(state.hidden[0], memory, keys, valid, state.alignment)
        driven = torch.cat([context, self.prenet(state.last)], 1)
        _, hidden = self.gru(driven[:, None], state.hidden)
        frame = self.project(F.elu(self.dense(torch.cat([hidden[0], context], 1))))
        return frame, DecoderState(alignment, frame, hidden)
