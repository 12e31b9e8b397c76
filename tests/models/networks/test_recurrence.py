"""What training computes in its own way is what torch's modules compute, gradients too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.networks.deferred import Deferred
from models.networks.recurrence import gru_cell, run_gru
from models.networks.unrolled import sliding

# Double precision: both sides are exact but for rounding, whose sum stays far below this.
EXACT = {"atol": 1e-10, "rtol": 1e-10}


@pytest.mark.parametrize("both_ways", [False, True])
def test_gru_is_torchs(both_ways: bool) -> None:
    torch.manual_seed(0)
    gru = nn.GRU(5, 7, batch_first=True, bidirectional=both_ways).double()
    x = torch.randn(3, 11, 5, dtype=torch.double, requires_grad=True)
    hidden = torch.randn(1 + both_ways, 3, 7, dtype=torch.double, requires_grad=True)
    seeds = torch.randn(3, 11, 7 * (1 + both_ways), dtype=torch.double), torch.randn_like(hidden)
    results = []
    for run in (gru, lambda *args: run_gru(gru, *args)):
        y, last = run(x, hidden)
        loss = (y * seeds[0]).sum() + (last * seeds[1]).sum()
        results.append((y, last, *torch.autograd.grad(loss, [x, hidden, *gru.parameters()])))
    for ours, wanted in zip(*results, strict=True):
        torch.testing.assert_close(ours, wanted, **EXACT)


def test_cell_is_torchs() -> None:
    torch.manual_seed(0)
    cell = nn.GRUCell(5, 7).double()
    x = torch.randn(3, 5, dtype=torch.double)
    hidden = torch.randn(3, 7, dtype=torch.double, requires_grad=True)
    ours = gru_cell(
        x @ cell.weight_ih.T + cell.bias_ih, hidden @ cell.weight_hh.T + cell.bias_hh, hidden
    )
    inputs = [hidden, *cell.parameters()]
    wanted, seed = cell(x, hidden), torch.randn(3, 7, dtype=torch.double)
    torch.testing.assert_close(ours, wanted, **EXACT)
    for a, b in zip(
        torch.autograd.grad((ours * seed).sum(), inputs),
        torch.autograd.grad((wanted * seed).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("bias", [True, False])
def test_deferred_gradients_are_the_sum_over_uses(bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 4, bias=bias).double()
    x = torch.randn(3, 4, dtype=torch.double, requires_grad=True)

    def loop(step: nn.Module | Deferred) -> torch.Tensor:
        y = x
        for _ in range(5):
            y = torch.tanh(step(y))
        return (y**2).sum()

    inputs = [x, *layer.parameters()]
    wanted = torch.autograd.grad(loop(layer), inputs)
    ours = torch.autograd.grad(loop(Deferred(layer.weight, layer.bias)), inputs)
    for a, b in zip(ours, wanted, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_deferred_weights_that_were_not_used_have_no_gradient() -> None:
    layer = nn.Linear(4, 2)
    used = Deferred(layer.weight, layer.bias)
    loss = torch.zeros((), requires_grad=True) + 0 * used.weight.sum()
    loss.backward()
    assert layer.weight.grad is None


def test_sliding_windows_are_slices() -> None:
    x = torch.randn(2, 9, 3, dtype=torch.double, requires_grad=True)
    ends, seeds = (3, 3, 5, 9), torch.randn(4, 2, 3, 3, dtype=torch.double)
    ours, slices = sliding(x, ends, 3), [x[:, end - 3 : end] for end in ends]
    grads = [
        torch.autograd.grad(sum((a * b).sum() for a, b in zip(seen, seeds, strict=True)), x)[0]
        for seen in (ours, slices)
    ]
    assert all(torch.equal(a, b) for a, b in zip(ours, slices, strict=True))
    torch.testing.assert_close(*grads, **EXACT)
