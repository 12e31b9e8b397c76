"""The decoder over many hops: what `Decoder.forward` does, for training.

All that does not recur is done for all hops at once: keys, ages, the location filters; and where
the true frames are fed back throughout (teacher forcing), the pre-net, its share of the gates, and
the output layers. Gradients of the weights inside the loop are summed after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.attention import Ages, Memory
from models.networks.decoder import Decoder
from models.networks.deferred import Deferred
from models.networks.recurrence import gru_cell


class Hop(NamedTuple):
    """What one hop looks at; `moved` frames have come since the hop before."""

    memory: Memory
    ages: Ages
    moved: int = 0


class Teacher(NamedTuple):
    """True frames `(batch, hops, bands)`, fed back where `forced` `(hops, batch)`."""

    frames: Tensor
    forced: Tensor


def unroll(
    decoder: Decoder, hops: Sequence[Hop], hidden: Tensor, teacher: Teacher | None = None
) -> tuple[Tensor, Tensor]:
    """Outputs `(batch, hops, width)` and alignments `(batch, hops, places)` from a cold start.

    Parameters
    ----------
    decoder : its weights and shapes.
    hops : what each looks at.
    hidden : the GRU's first state, `(batch, decoder_size)`.
    teacher : none feeds back the decoder's own frames.
    """
    if teacher is not None and bool(teacher.forced.all()):
        return _Loop(decoder).taught(hops, hidden, teacher.frames)
    return _Loop(decoder).free(hops, hidden, teacher)


class _Loop:
    def __init__(self, decoder: Decoder) -> None:
        size = decoder.context_size
        # In torch.nn.GRU's own order.
        inputs, recurrent, input_bias, recurrent_bias = decoder.gru.parameters()
        self.decoder = decoder
        self.query = decoder.attention.query_layer()
        matrix = decoder.attention.location_matrix()
        self.located = None if matrix is None else Deferred(matrix)
        self.from_context = Deferred(inputs[:, :size])
        self.from_fed = Deferred(inputs[:, size:], input_bias)
        self.recurrent = Deferred(recurrent, recurrent_bias)

    def taught(self, hops: Sequence[Hop], hidden: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        decoder = self.decoder
        before = torch.cat([torch.zeros_like(frames[:, :1]), frames[:, :-1]], 1)
        fed = before if decoder.prenet is None else decoder.prenet(before)
        gates = self.from_fed(fed.flatten(0, 1)).view(*fed.shape[:2], -1).unbind(1)
        alignment, steps = _nothing_attended(hops, hidden), []
        for hop, gate in zip(hops, gates, strict=True):
            context, alignment = self.attend(hop, hidden, alignment)
            hidden = self.step(gate, context, hidden)
            steps.append((torch.cat([hidden, context], 1), alignment))
        seen, alignments = (torch.stack(parts, 1) for parts in zip(*steps, strict=True))
        return decoder.project(F.elu(decoder.dense(seen))), alignments

    def free(
        self, hops: Sequence[Hop], hidden: Tensor, teacher: Teacher | None
    ) -> tuple[Tensor, Tensor]:
        decoder, prenet = self.decoder, self.decoder.prenet
        dense, project = (Deferred(x.weight, x.bias) for x in (decoder.dense, decoder.project))
        layers = (
            [Deferred(x.weight, x.bias) for x in (prenet.first, prenet.second)] if prenet else []
        )
        alignment, steps = _nothing_attended(hops, hidden), []
        last = hidden.new_zeros(len(hidden), decoder.bands)
        for k, hop in enumerate(hops):
            fed = last if prenet is None else prenet(last, layers)
            context, alignment = self.attend(hop, hidden, alignment)
            hidden = self.step(self.from_fed(fed), context, hidden)
            output = project(F.elu(dense(torch.cat([hidden, context], 1))))
            steps.append((output, alignment))
            last = decoder.frames(output)
            if teacher is not None:
                last = torch.where(teacher.forced[k][:, None], teacher.frames[:, k], last)
        outputs, alignments = (torch.stack(parts, 1) for parts in zip(*steps, strict=True))
        return outputs, alignments

    def attend(self, hop: Hop, hidden: Tensor, alignment: Tensor) -> tuple[Tensor, Tensor]:
        previous = shift(alignment, hop.moved) if hop.moved else alignment
        located = None if self.located is None else self.located(previous)
        query = hidden if self.query is None else self.query(hidden)
        context, alignment = self.decoder.attention(query, hop.memory, hop.ages, located)
        return context, alignment

    def step(self, gate: Tensor, context: Tensor, hidden: Tensor) -> Tensor:
        return gru_cell(gate + self.from_context(context), self.recurrent(hidden), hidden)


def _nothing_attended(hops: Sequence[Hop], hidden: Tensor) -> Tensor:
    return hidden.new_zeros(len(hidden), hops[0].memory.frames.shape[1])


def shift(alignment: Tensor, frames: int) -> Tensor:
    """Move an alignment along with its frames when `frames` new ones have come."""
    return F.pad(alignment[:, frames:], (0, min(frames, alignment.shape[1])))


def sliding(x: Tensor, ends: Sequence[int], places: int) -> tuple[Tensor, ...]:
    """`x[:, end - places : end]` for every end; the gradient is summed in one place."""
    windows: tuple[Tensor, ...] = _Sliding.apply(x, ends, places)  # type: ignore[no-untyped-call]
    return windows


class _Sliding(torch.autograd.Function):
    """Views. A slice's own gradient is as long as the run: a square of its length in all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ends: Sequence[int], places: int) -> tuple[Tensor, ...]:
        """The views."""
        ctx.shape, ctx.ends, ctx.places = x.shape, ends, places
        return tuple(x[:, end - places : end] for end in ends)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The sum of what each saw."""
        total = gradients[0].new_zeros(ctx.shape)
        for end, gradient in zip(ctx.ends, gradients, strict=True):
            total[:, end - ctx.places : end] += gradient
        return total, None, None
