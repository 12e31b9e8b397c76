"""The decoder over many hops: what `Decoder.forward` does, for training.

All that does not recur is done for all hops at once: keys, ages, the location filters; and where
the true frames are fed back throughout (teacher forcing), the pre-net, its share of the gates, and
the output layers. Time is the first axis there, so that hops are views. Gradients of the weights
inside the loop are summed after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.attended_step import Hop, Stepped, StepWeights, attended_step
from models.networks.decoder import Decoder
from models.networks.deferred import Deferred


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
    # Under mixed precision it comes in half precision; the recurrence stays exact.
    hidden = hidden.to(decoder.project.weight.dtype)
    if teacher is not None and bool(teacher.forced.all()):
        return _Loop(decoder).taught(hops, hidden, teacher.frames)
    return _Loop(decoder).free(hops, hidden, teacher)


class _Loop:
    def __init__(self, decoder: Decoder) -> None:
        self.decoder, attention = decoder, decoder.attention
        # In torch.nn.GRU's own order.
        inputs, recurrent, input_bias, recurrent_bias = decoder.gru.parameters()
        query = attention.query_layer()
        weight = recurrent if query is None else torch.cat([query.weight, recurrent])
        bias = recurrent_bias if query is None else torch.cat([query.bias, recurrent_bias])
        to_context, to_fed = inputs.tensor_split([decoder.context_size], 1)
        self.weights = StepWeights(
            Deferred(weight, bias), Deferred(to_context), attention.score_weights()
        )
        self.from_fed = Deferred(to_fed, input_bias)

    def taught(self, hops: Sequence[Hop], hidden: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        decoder = self.decoder
        before = torch.cat([torch.zeros_like(frames[:, :1]), frames[:, :-1]], 1).transpose(0, 1)
        fed = before if decoder.prenet is None else decoder.prenet(before)
        gates = self.from_fed(fed.flatten(0, 1)).view(*fed.shape[:2], -1)
        last, steps = _nothing_attended(hops, hidden), []
        for hop, gate in zip(hops, gates.unbind(0), strict=True):
            last = attended_step(self.weights, hop, gate, last.hidden, last.alignment)
            steps.append(last)
        states, contexts, alignments = (torch.stack(x) for x in zip(*steps, strict=True))
        seen = torch.cat([states, contexts], 2)
        outputs = decoder.project(F.elu(decoder.dense(seen)))
        return outputs.transpose(0, 1), alignments.transpose(0, 1)

    def free(
        self, hops: Sequence[Hop], hidden: Tensor, teacher: Teacher | None
    ) -> tuple[Tensor, Tensor]:
        decoder, prenet = self.decoder, self.decoder.prenet
        dense, project = (Deferred(x.weight, x.bias) for x in (decoder.dense, decoder.project))
        layers = (
            [Deferred(x.weight, x.bias) for x in (prenet.first, prenet.second)] if prenet else []
        )
        last, steps = _nothing_attended(hops, hidden), []
        frame = hidden.new_zeros(len(hidden), decoder.bands)
        for k, hop in enumerate(hops):
            fed = frame if prenet is None else prenet(frame, layers)
            last = attended_step(self.weights, hop, self.from_fed(fed), last.hidden, last.alignment)
            output = project(F.elu(dense(torch.cat([last.hidden, last.context], 1))))
            steps.append((output, last.alignment))
            frame = decoder.frames(output)
            if teacher is not None:
                frame = torch.where(teacher.forced[k][:, None], teacher.frames[:, k], frame)
        outputs, alignments = (torch.stack(parts, 1) for parts in zip(*steps, strict=True))
        return outputs, alignments


def _nothing_attended(hops: Sequence[Hop], hidden: Tensor) -> Stepped:
    places = hops[0].memory.frames.shape[1]
    return Stepped(hidden, hidden, hidden.new_zeros(len(hidden), places))


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
