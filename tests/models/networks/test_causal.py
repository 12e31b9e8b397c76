from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from models.hops import HopClock
from models.networks.causal import CausalNetwork, shift
from models.networks.folded import fold
from models.networks.strides import split_stride
from models.spec import NetworkSpec
from tests.bundles import TINY_NETWORK

CLOCK = HopClock(Fraction(1024))
HOPS = 40
TICKS = [CLOCK.ticks(k) for k in range(HOPS)]
VARIANTS = {
    "1d": TINY_NETWORK,
    "2d": TINY_NETWORK.model_copy(update={"conv": "2d", "conv_channels": (4, 6, 6)}),
    "content": TINY_NETWORK.model_copy(update={"attention": "content"}),
}


def network(spec: NetworkSpec) -> CausalNetwork:
    torch.manual_seed(0)
    made = CausalNetwork(spec, 8, CLOCK.stride, CLOCK.memory_frames())
    for module in made.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(module.running_mean, 0.0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return made.eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_hop_depends_on_a_sample_after_its_end(variant: str) -> None:
    made = network(VARIANTS[variant])
    features = torch.randn(1, CLOCK.end(HOPS - 1), 8, requires_grad=True)
    out = made(features, TICKS).after[0]
    for hop in (0, 7, 20, HOPS - 1):
        (gradient,) = torch.autograd.grad(out[hop].sum(), features, retain_graph=True)
        reach = gradient[0].abs().sum(1).nonzero().flatten()
        assert int(reach.max()) < CLOCK.end(hop)
        # It does see its own hop: causal, not merely late.
        assert int(reach.max()) >= CLOCK.end(hop - 1) - 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_folding_changes_nothing(variant: str) -> None:
    made = network(VARIANTS[variant])
    state = made.encoder.initial_state(1)
    folded = fold(made)
    for _ in range(5):
        x = torch.randn(1, CLOCK.stride, 8)
        wanted, state_a = made.encoder(x, state)
        got, state = folded.encoder(x, state)
        torch.testing.assert_close(got, wanted)
        torch.testing.assert_close(state.hidden, state_a.hidden)


def test_attention_ignores_places_not_yet_filled() -> None:
    made = network(TINY_NETWORK)
    out = made(torch.randn(1, CLOCK.end(HOPS - 1), 8), TICKS)
    for hop in (0, 3, 12, HOPS - 1):
        filled = min(TICKS[hop], made.places)
        weights = out.alignment[0, hop]
        assert torch.count_nonzero(weights[: made.places - filled]) == 0
        assert float(weights.detach().sum()) == pytest.approx(1.0, abs=1e-5)


def test_alignment_moves_with_its_frames() -> None:
    alignment = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    torch.testing.assert_close(shift(alignment, 0), alignment)
    torch.testing.assert_close(shift(alignment, 1), torch.tensor([[0.2, 0.3, 0.4, 0.0]]))
    torch.testing.assert_close(shift(alignment, 2), torch.tensor([[0.3, 0.4, 0.0, 0.0]]))


def test_location_sensitivity_uses_the_previous_alignment() -> None:
    made = network(TINY_NETWORK)
    attention, state = made.decoder.attention, made.decoder.initial_state(1)
    memory, valid = torch.randn(1, made.places, 16), torch.ones(1, made.places)
    keys = attention.keys(memory)
    elsewhere = torch.eye(made.places)[:1]
    a = attention(state.hidden[0], memory, keys, valid, state.alignment)[1]
    b = attention(state.hidden[0], memory, keys, valid, elsewhere)[1]
    assert not torch.allclose(a, b)


def test_dropout_acts_in_training_only() -> None:
    made = network(TINY_NETWORK)
    x = torch.randn(1, CLOCK.end(HOPS - 1), 8)
    torch.testing.assert_close(made(x, TICKS).after, made(x, TICKS).after)


def test_teacher_forcing_feeds_the_truth_back() -> None:
    made = network(TINY_NETWORK)
    x, truth = torch.randn(1, CLOCK.end(HOPS - 1), 8), torch.randn(1, HOPS, 80)
    free = made(x, TICKS).before
    never = made(x, TICKS, truth, torch.zeros(HOPS, 1, dtype=torch.bool)).before
    always = made(x, TICKS, truth, torch.ones(HOPS, 1, dtype=torch.bool)).before
    torch.testing.assert_close(free, never)
    torch.testing.assert_close(free[:, 0], always[:, 0])
    assert not torch.allclose(free[:, 1], always[:, 1])


@pytest.mark.parametrize("stride", [1, 3, 5, 7, 10, 20, 24, 41])
def test_strides_multiply_to_the_total(stride: int) -> None:
    first, second, third = split_stride(stride)
    assert first * second * third == stride
    assert first >= second >= third


def test_published_sizes() -> None:
    made = CausalNetwork(NetworkSpec(), 112, 10, 20)
    weights = sum(p.numel() for p in made.parameters())
    # DESIGN section 6: over 13 MB of float32 weights.
    assert 13e6 < 4 * weights < 14e6
