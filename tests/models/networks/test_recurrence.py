"""What training computes in its own way is what torch's modules compute, gradients too."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from models.networks.deferred import Deferred
from models.networks.postnet import Postnet
from models.networks.recurrence import close_gates, open_gates, run_gru
from models.networks.shifted import convolved
from models.networks.unrolled import sliding
from tests.bundles import TINY_NETWORK

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


def test_one_step_forward_and_back_is_torchs() -> None:
    torch.manual_seed(0)
    cell = nn.GRUCell(5, 7).double()
    x = torch.randn(3, 5, dtype=torch.double)
    hidden = torch.randn(3, 7, dtype=torch.double, requires_grad=True)
    gates, recurrent = (
        x @ cell.weight_ih.T + cell.bias_ih,
        hidden @ cell.weight_hh.T + cell.bias_hh,
    )
    with torch.no_grad():
        switches, new, ours = open_gates(gates, recurrent, hidden)
    wanted, seed = cell(x, hidden), torch.randn(3, 7, dtype=torch.double)
    torch.testing.assert_close(ours, wanted, **EXACT)
    into, into_new, through, carried = close_gates(seed, recurrent, hidden, switches, new)
    to_gates, to_recurrent = torch.cat([into, into_new], 1), torch.cat([into, through], 1)
    found = (
        carried + to_recurrent @ cell.weight_hh,
        *(to_gates.T @ x, to_recurrent.T @ hidden, to_gates.sum(0), to_recurrent.sum(0)),
    )
    inputs = [hidden, *cell.parameters()]
    for a, b in zip(found, torch.autograd.grad((wanted * seed).sum(), inputs), strict=True):
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


def test_deferred_weights_used_by_autograd_alone_have_its_gradient() -> None:
    layer = nn.Linear(4, 2)
    used = Deferred(layer.weight, layer.bias)
    (2 * used.weight).sum().backward()
    torch.testing.assert_close(layer.weight.grad, torch.full((2, 4), 2.0))
    assert layer.bias.grad is None


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


@pytest.mark.parametrize("frames", [1, 2, 3, 9])
@pytest.mark.parametrize("lead", [4, 2, 0])
def test_a_product_per_tap_is_the_convolution(frames: int, lead: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(frames, 3, 4, dtype=torch.double, requires_grad=True)
    weight = torch.randn(6, 4, 5, dtype=torch.double, requires_grad=True)
    padded = nn.functional.pad(x.permute(1, 2, 0), (lead, 4 - lead))
    wanted = nn.functional.conv1d(padded, weight).permute(2, 0, 1)
    ours, seed = convolved(x, weight, lead), torch.randn(frames, 3, 6, dtype=torch.double)
    torch.testing.assert_close(ours, wanted, **EXACT)
    for a, b in zip(
        torch.autograd.grad((ours * seed).sum(), [x, weight]),
        torch.autograd.grad((wanted * seed).sum(), [x, weight]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("causal", [True, False])
def test_the_postnet_trains_a_run_as_it_steps_it(causal: bool) -> None:
    torch.manual_seed(0)
    postnet = Postnet(TINY_NETWORK.model_copy(update={"causal": causal}), 8).double()
    postnet.dropout = 0.0
    for layer in postnet.layers:
        nn.init.uniform_(layer.norm.weight, 0.5, 1.5)
    x = torch.randn(3, 9, 8, dtype=torch.double, requires_grad=True)
    seed, found = torch.randn_like(x), []
    for run in (postnet.run, lambda run: postnet(run, postnet.initial_tails(3))[0]):
        # Each begins with the same statistics, and batch norm changes them.
        layers = copy.deepcopy(postnet.state_dict())
        y = run(x)
        statistics = [v for k, v in postnet.state_dict().items() if "running" in k]
        grads = torch.autograd.grad((y * seed).sum(), [x, *postnet.parameters()])
        found.append([y, *(s.clone() for s in statistics), *grads])
        postnet.load_state_dict(layers)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
