"""One hop of the decoder's loop, attention and GRU, as one node of the graph.

autograd would record some thirty operations for each hop and move more memory between them than
the products need. Here the backward pass is written out. The gradients of the two large weights
are left for one product after the loop (`models.networks.deferred`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.attention import Ages, Memory, context_of, weights_of
from models.networks.deferred import Deferred
from models.networks.recurrence import close_gates, open_gates
from models.networks.scoring import scoring


class Hop(NamedTuple):
    """What one hop looks at; `moved` frames have come since the hop before."""

    memory: Memory
    ages: Ages
    moved: int = 0


class StepWeights(NamedTuple):
    """What every hop multiplies by.

    Parameters
    ----------
    hidden : of the GRU's state, `(query + 3 size, size)`: attention's query (no rows if it has
        none), then the recurrent gates in the order of `torch.nn.GRU`.
    context : of the context, `(3 size, context_size)`.
    scores : those of `models.networks.scoring`.
    """

    hidden: Deferred
    context: Deferred
    scores: tuple[Tensor, ...]


class Stepped(NamedTuple):
    """Next GRU state, context and alignment, each `(batch, ...)`."""

    hidden: Tensor
    context: Tensor
    alignment: Tensor


def attended_step(
    weights: StepWeights, hop: Hop, gates: Tensor, hidden: Tensor, alignment: Tensor
) -> Stepped:
    """Attend with the last state and alignment, then step the GRU.

    Parameters
    ----------
    weights : of the loop.
    hop : what may be attended to.
    gates : the share of the gates that does not come from here, `(batch, 3 size)`.
    hidden : `(batch, size)`.
    alignment : that of the hop before, `(batch, places)`.
    """
    given = (gates, hidden, alignment, *hop.memory[:2], *hop.ages[1:])
    inputs = (x.to(hidden.dtype) for x in given)
    scores = (x.to(hidden.dtype) for x in weights.scores)
    large = (weights.hidden.weight, weights.hidden.bias, weights.context.weight)
    # Mixed precision: these products are too small to gain from it, and the state stays exact.
    with torch.autocast(hidden.device.type, enabled=False):
        return Stepped(*_Step.apply(weights, hop, *inputs, *large, *scores))  # type: ignore[no-untyped-call]


def shift(alignment: Tensor, frames: int) -> Tensor:
    """Move an alignment along with its frames when `frames` new ones have come."""
    return F.pad(alignment[:, frames:], (0, min(frames, alignment.shape[1])))


class _Kept(NamedTuple):
    """What the backward pass needs, in the order of the equations."""

    previous: Tensor
    query: Tensor
    inner: Tensor
    alignment: Tensor
    frames: Tensor
    context: Tensor
    recurrent: Tensor
    hidden: Tensor
    switches: Tensor
    new: Tensor
    hidden_weight: Tensor
    context_weight: Tensor


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: StepWeights, hop: Hop, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The three results."""
        gates, hidden, alignment, frames, keys, age_keys, age_energy = inputs[:7]
        hidden_weight, bias, context_weight, *own = inputs[7:]
        joint = torch.addmm(bias, hidden, hidden_weight.t())
        query, recurrent = joint.tensor_split([joint.shape[1] - gates.shape[1]], 1)
        previous = shift(alignment, hop.moved) if hop.moved else alignment
        scores = scoring(query.shape[1], len(own))
        energy, inner = scores.forward(query, keys, age_keys, previous, *own)
        alignment = weights_of(energy + age_energy, hop.memory)
        context = context_of(alignment, frames, hop.ages.channels)
        switches, new, following = open_gates(
            torch.addmm(gates, context, context_weight.t()), recurrent, hidden
        )
        ctx.weights, ctx.hop, ctx.scores = weights, hop, scores
        ctx.shapes = age_keys.shape, age_energy.shape
        sequence = (previous, query, inner, alignment, frames, context, recurrent, hidden)
        ctx.save_for_backward(*sequence, switches, new, hidden_weight, context_weight, *own)
        return following, context, alignment

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """By hand, in reverse order."""
        kept, own = _Kept(*ctx.saved_tensors[:12]), ctx.saved_tensors[12:]
        to_following, to_context, to_alignment = gradients
        into, into_new, through, carried = close_gates(to_following, *kept[6:10])
        to_gates = torch.cat([into, into_new], 1)
        to_context = torch.addmm(to_context, to_gates, kept.context_weight)
        to_alignment = to_alignment + _through_context(to_context, kept.frames, ctx.hop.ages)
        to_energy = kept.alignment * to_alignment
        to_energy -= kept.alignment * to_energy.sum(1, keepdim=True)
        found = ctx.scores.backward(to_energy, kept.inner, kept.query, kept.previous, *own)
        joint = torch.cat([into[:, :0] if found.query is None else found.query, into, through], 1)
        ctx.weights.context.note(kept.context, to_gates)
        ctx.weights.hidden.note(kept.hidden, joint)
        age_keys, age_energy = ctx.shapes
        to_seen = to_context[:, None, : kept.frames.shape[2]]
        return (
            *(None, None, to_gates, torch.addmm(carried, joint, kept.hidden_weight)),
            None if found.previous is None else _unshift(found.previous, ctx.hop.moved),
            *(kept.alignment[:, :, None] * to_seen, found.keys),
            None if found.keys is None else found.keys.sum_to_size(age_keys),
            *(to_energy.sum_to_size(age_energy), None, None, None),
            *(x for x in (found.located, found.weight)[: len(own)]),
        )


def _unshift(gradient: Tensor, frames: int) -> Tensor:
    """The gradient of what `shift` moved."""
    kept = max(0, gradient.shape[1] - frames)
    return F.pad(gradient[:, :kept], (gradient.shape[1] - kept, 0))


def _through_context(to_context: Tensor, frames: Tensor, ages: Ages) -> Tensor:
    """The gradient of the alignment: each place's frame and age channels times the context's."""
    to_seen, to_age = to_context.tensor_split([frames.shape[2]], 1)
    # The row first: with a column as the second factor torch is ten times slower.
    through = torch.bmm(to_seen[:, None], frames.transpose(1, 2))
    return (through + to_age[:, None] @ ages.channels.transpose(-1, -2))[:, 0]
