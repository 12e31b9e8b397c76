"""A linear layer used in a loop, whose weights' gradient is summed once, after the loop.

Otherwise autograd makes a gradient of the size of the weights for every use and adds them up: with
a batch of 32 that moves more memory than the products themselves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Tape = list[tuple[Tensor, Tensor]]


class Deferred:
    """`y = x weight^T + bias` for `x` `(rows, in)`, any number of times, then one backward pass.

    Parameters
    ----------
    weight : `(out, in)`.
    bias : `(out,)`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._tape: Tape = []
        self._deferred = torch.is_grad_enabled() and weight.requires_grad
        self.weight, self.bias = weight, bias
        if self._deferred:
            zero = weight.new_zeros(len(weight)) if bias is None else bias
            self.weight, self.bias = _Collect.apply(weight, zero, self._tape)  # type: ignore[no-untyped-call]

    def __call__(self, x: Tensor) -> Tensor:
        """`(rows, out)`."""
        if not self._deferred or torch.is_autocast_enabled(x.device.type):
            return F.linear(x, self.weight, self.bias)
        y: Tensor = _Use.apply(x, self.weight, self.bias, self._tape)  # type: ignore[no-untyped-call]
        return y

    def note(self, x: Tensor, dy: Tensor) -> None:
        """Take `y`'s gradient of one use into account; for a backward pass written by hand."""
        if self._deferred:
            self._tape.append((x, dy))


class _Collect(torch.autograd.Function):
    """Weights as they are; their gradient from the tape, which is full when this runs."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, tape: Tape) -> tuple[Tensor, Tensor]:
        """The same weights."""
        ctx.tape = tape
        ctx.set_materialize_grads(False)
        return weight.view_as(weight), bias.view_as(bias)

    @staticmethod
    def backward(ctx: Any, *direct: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        """One product over all uses; or what autograd gives, where it has seen them itself."""
        if not ctx.tape:
            return direct[0], direct[1], None
        x, dy = (torch.cat(parts) for parts in zip(*ctx.tape, strict=True))
        ctx.tape.clear()
        return dy.t() @ x, dy.sum(0), None


class _Use(torch.autograd.Function):
    """One use: the gradient of the input now, that of the weights from the tape later."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, tape: Tape) -> Tensor:
        """The product."""
        ctx.save_for_backward(x, weight)
        ctx.tape = tape
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient of `x`."""
        x, weight = ctx.saved_tensors
        ctx.tape.append((x, dy))
        return dy @ weight, None, None, None
