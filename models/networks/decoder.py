"""The decoder: one attention query and one mel frame per hop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.attention import Attention, Memory
from models.networks.dropout import dropout
from models.spec import NetworkSpec, OutputSpec


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

    def forward(
        self, x: Tensor, layers: Sequence[Callable[[Tensor], Tensor]] | None = None
    ) -> Tensor:
        """`(batch, inputs) -> (batch, size)`; `layers` stand in for its own two."""
        for layer in layers or (self.first, self.second):
            x = dropout(F.relu(layer(x)), self.dropout, self.training)
        return x


class Codes(nn.Module):
    """A choice among k-means codes for each band, and the values that it stands for.

    A frame is the mean of the codes' values under the softmax of their logits. It differs little
    from the likeliest code's, has a gradient, and moves smoothly: the likeliest code jumps where
    two are nearly tied, so that the last bit of a sum would decide what is fed back.
    """

    def __init__(self, spec: OutputSpec, bands: int) -> None:
        super().__init__()
        self.shape = (bands, spec.codes)
        ladder = torch.linspace(-2.0, 2.0, spec.codes).expand(bands, -1)
        self.register_buffer("book", ladder.clone())
        self.book: Tensor

    def logits(self, output: Tensor) -> Tensor:
        """`(..., bands * codes) -> (..., bands, codes)`."""
        return torch.unflatten(output, -1, self.shape)

    def frames(self, output: Tensor) -> Tensor:
        """`(..., bands * codes)` logits to normalised frames `(..., bands)`."""
        return (torch.softmax(self.logits(output), -1) * self.book).sum(-1)

    def nearest(self, frames: Tensor) -> Tensor:
        """Index of the code nearest to each value, `(..., bands)`; codes are in rising order."""
        edges = (self.book[:, 1:] + self.book[:, :-1]) / 2
        return (frames[..., None] > edges).sum(-1)


class Decoder(nn.Module):
    """One hop: attend with the last GRU state, then step the GRU, ELU and linear layers.

    `models.networks.unrolled` computes the same over many hops.
    """

    def __init__(
        self, spec: NetworkSpec, attention: Attention, bands: int, frame_size: int
    ) -> None:
        super().__init__()
        self.spec, self.bands, self.attention = spec, bands, attention
        self.context_size = frame_size + spec.position_channels
        self.prenet = Prenet(bands, spec.prenet_size) if spec.prenet else None
        fed = spec.prenet_size if spec.prenet else bands
        discrete = spec.output.kind == "discrete"
        self.codes = Codes(spec.output, bands) if discrete else None
        self.width = bands * (spec.output.codes if discrete else 1)
        self.gru = nn.GRU(self.context_size + fed, spec.decoder_size, batch_first=True)
        self.dense = nn.Linear(self.context_size + spec.decoder_size, spec.decoder_size)
        self.project = nn.Linear(spec.decoder_size, self.width)

    def initial_state(self, batch: int) -> DecoderState:
        """A cold start: nothing attended, the mean frame, an empty GRU."""
        zeros = self.project.weight.new_zeros
        return DecoderState(
            zeros(batch, self.attention.places),
            zeros(batch, self.bands),
            zeros(1, batch, self.spec.decoder_size),
        )

    def frames(self, output: Tensor) -> Tensor:
        """Normalised frames `(..., bands)` of outputs `(..., width)`."""
        return output if self.codes is None else self.codes.frames(output)

    def forward(self, memory: Memory, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Output `(batch, width)` and next state."""
        attention, hidden = self.attention, state.hidden[0]
        located = attention.locate(state.alignment)
        context, alignment = attention(
            attention.query_of(hidden), memory, attention.age_table(), located
        )
        fed = state.last if self.prenet is None else self.prenet(state.last)
        _, next_hidden = self.gru(torch.cat([context, fed], 1)[:, None], state.hidden)
        dense = F.elu(self.dense(torch.cat([next_hidden[0], context], 1)))
        output = self.project(dense)
        return output, DecoderState(alignment, self.frames(output), next_hidden)
