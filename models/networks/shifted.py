"""A convolution over a whole run as one product per tap, for training on the CPU.

With time as the first axis a tap meets a contiguous range of rows, so nothing is unfolded or moved
about, and a tap that would meet only the zeros around the run is not multiplied: of 13 frames and
kernel 5, causal, that spares 15 % of the products. A layer of the post-net, its norm included,
takes about three quarters of the time that it takes through torch's convolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def convolved(x: Tensor, weight: Tensor, lead: int) -> Tensor:
    """`(time, batch, in) -> (time, batch, out)`, as long as before, with zeros around the run.

    Parameters
    ----------
    x : the run.
    weight : of a `torch.nn.Conv1d`, `(out, in, kernel)`; stride 1, no bias.
    lead : zeros before the run; `kernel - 1 - lead` follow it.
    """
    taps = weight.permute(2, 1, 0).contiguous()
    y: Tensor = _Shifted.apply(x.flatten(0, 1), taps, lead, x.shape[1])  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:2], -1)


class _Shifted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, lead: int, batch: int) -> Tensor:
        """Rows `(time * batch, in)` and taps `(kernel, in, out)` to rows `(time * batch, out)`."""
        ctx.save_for_backward(x, taps)
        ctx.lead, ctx.batch = lead, batch
        y = x @ taps[lead]
        for tap, into, of in _ranges(taps, lead, batch, len(x)):
            y[into].addmm_(x[of], taps[tap])
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The same ranges the other way round."""
        x, taps = ctx.saved_tensors
        gradient = gradient.contiguous()
        to_taps = torch.zeros_like(taps)
        to_x = gradient @ taps[ctx.lead].t()
        torch.mm(x.t(), gradient, out=to_taps[ctx.lead])
        for tap, into, of in _ranges(taps, ctx.lead, ctx.batch, len(x)):
            to_x[of].addmm_(gradient[into], taps[tap].t())
            torch.mm(x[of].t(), gradient[into], out=to_taps[tap])
        return to_x, to_taps, None, None


def _ranges(taps: Tensor, lead: int, batch: int, rows: int) -> Iterator[tuple[int, slice, slice]]:
    """Every tap but the one without shift that meets the run: it, rows of the output, of input."""
    for tap in range(len(taps)):
        shift = (tap - lead) * batch
        if 0 < abs(shift) < rows:
            into = slice(max(0, -shift), min(rows, rows - shift))
            yield tap, into, slice(into.start + shift, into.stop + shift)
