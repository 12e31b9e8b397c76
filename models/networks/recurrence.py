"""A GRU layer over whole runs on the CPU, several times faster to train than torch's own.

torch records every operation of every time step, and sums the gradient of the recurrent weights
step by step. Here the recurrence is one node: its backward pass is written out (Werbos 1990), and
the gradient of the weights is one product over all steps. Values are those of `torch.nn.GRU`.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def run_gru(gru: nn.Module, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """What `gru(x, hidden)` gives, `x` `(batch, time, in)`, `hidden` `(directions, batch, size)`.

    torch's own kernels serve where they are better: inference, export, GPUs, mixed precision.
    """
    trained = torch.is_grad_enabled() and x.device.type == "cpu" and x.shape[1] > 1
    if not trained or not isinstance(gru, nn.GRU) or torch.is_autocast_enabled("cpu"):
        return cast(tuple[Tensor, Tensor], gru(x, hidden))
    ways = ["", "_reverse"] if gru.bidirectional else [""]
    runs = [_direction(gru, x, hidden[i], way) for i, way in enumerate(ways)]
    return torch.cat([y for y, _ in runs], 2), torch.stack([last for _, last in runs])


def _direction(gru: nn.GRU, x: Tensor, hidden: Tensor, way: str) -> tuple[Tensor, Tensor]:
    weights = [getattr(gru, f"{name}_l0{way}") for name in ("weight_ih", "bias_ih")]
    recurrent = [getattr(gru, f"{name}_l0{way}") for name in ("weight_hh", "bias_hh")]
    gates = F.linear(x.transpose(0, 1), *weights)
    states = _Recurrence.apply(gates.flip(0) if way else gates, hidden, *recurrent)  # type: ignore[no-untyped-call]
    last = states[-1]
    return (states.flip(0) if way else states).transpose(0, 1), last


class _Recurrence(torch.autograd.Function):
    """States `(time, batch, size)` from the input's share of the gates `(time, batch, 3 size)`."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """torch.nn.GRU's equations; gates in its order: reset, update, new."""
        size = hidden.shape[1]
        states = gates.new_empty(len(gates) + 1, *hidden.shape)
        states[0] = hidden
        opened = torch.empty_like(gates)
        recurrent_new = torch.empty_like(states[1:])
        transposed = weight.t()
        for t, gate in enumerate(gates):
            recurrent = torch.addmm(bias, states[t], transposed)
            switches, new = opened[t, :, : 2 * size], opened[t, :, 2 * size :]
            torch.add(gate[:, : 2 * size], recurrent[:, : 2 * size], out=switches).sigmoid_()
            recurrent_new[t] = recurrent[:, 2 * size :]
            torch.addcmul(gate[:, 2 * size :], switches[:, :size], recurrent_new[t], out=new)
            torch.lerp(new.tanh_(), states[t], switches[:, size:], out=states[t + 1])
        ctx.save_for_backward(weight, states, opened, recurrent_new)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Back through time; everything that does not recur is done for all steps at once."""
        weight, states, opened, recurrent_new = ctx.saved_tensors
        reset, update, new = opened.chunk(3, 2)
        into_new = (1 - update) * (1 - new * new)
        factors = torch.stack(
            [
                into_new * recurrent_new * reset * (1 - reset),
                (states[:-1] - new) * update * (1 - update),
                into_new * reset,
            ],
            2,
        )
        recurrent = torch.empty_like(factors)
        reached = torch.empty_like(states[1:])
        carried = torch.zeros_like(states[0])
        for t in range(len(gradient) - 1, -1, -1):
            torch.add(gradient[t], carried, out=reached[t])
            torch.mul(factors[t], reached[t][:, None], out=recurrent[t])
            carried = torch.addmm(reached[t] * update[t], recurrent[t].flatten(1), weight)
        gates = torch.cat([recurrent[:, :, :2].flatten(2), reached * into_new], 2)
        flat = recurrent.flatten(2).flatten(0, 1)
        return gates, carried, flat.t() @ states[:-1].flatten(0, 1), flat.sum(0)


def gru_cell(gates: Tensor, recurrent: Tensor, hidden: Tensor) -> Tensor:
    """The next state `(batch, size)` from both shares of the gates `(batch, 3 size)`."""
    # Mixed precision gives products in half precision; the state stays as it is.
    gates, recurrent = gates.to(hidden.dtype), recurrent.to(hidden.dtype)
    following: Tensor = _Cell.apply(gates, recurrent, hidden)  # type: ignore[no-untyped-call]
    return following


class _Cell(torch.autograd.Function):
    """`_Recurrence` for one step, its products left outside."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, recurrent: Tensor, hidden: Tensor) -> Tensor:
        """torch.nn.GRU's equations."""
        size = hidden.shape[1]
        switches = torch.sigmoid(gates[:, : 2 * size] + recurrent[:, : 2 * size])
        reset, update = switches[:, :size], switches[:, size:]
        inner = recurrent[:, 2 * size :]
        new = torch.tanh(torch.addcmul(gates[:, 2 * size :], reset, inner))
        ctx.save_for_backward(switches, inner, new, hidden)
        return torch.lerp(new, hidden, update)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """By hand: some ten operations instead of twice as many nodes."""
        switches, inner, new, hidden = ctx.saved_tensors
        size = hidden.shape[1]
        reset, update = switches[:, :size], switches[:, size:]
        closing = gradient * update
        into_new = (gradient - closing) * (1 - new * new)
        into = torch.empty_like(switches)
        torch.mul(into_new, inner, out=into[:, :size])
        torch.mul(gradient, hidden - new, out=into[:, size:])
        into *= switches * (1 - switches)
        return torch.cat([into, into_new], 1), torch.cat([into, into_new * reset], 1), closing
