from __future__ import annotations

import re
from fractions import Fraction

import pytest
import torch

from models.hops import HopClock
from models.networks.attended_step import shift
from models.networks.attention import Memory
from models.networks.folded import fold
from models.networks.grid import shaft_layout
from models.networks.network import SpeechNetwork, parameter_counts
from models.networks.strides import split_stride
from models.spec import NetworkSpec, OutputSpec
from tests.bundles import TINY_NETWORK

CLOCK = HopClock(Fraction(1024))
HOPS = 40
TICKS = [CLOCK.ticks(k) for k in range(HOPS)]
VARIANTS = {
    "1d": TINY_NETWORK,
    "2d": TINY_NETWORK.model_copy(update={"conv": "2d", "conv_channels": (4, 6, 6)}),
    "3d": TINY_NETWORK.model_copy(update={"conv": "3d", "conv_channels": (4, 6, 6)}),
    "discrete": TINY_NETWORK.model_copy(
        update={"output": OutputSpec(kind="discrete", codes=4, codebook="per_bin")}
    ),
    "no attention": TINY_NETWORK.model_copy(update={"attention": "none"}),
    "no pre-net": TINY_NETWORK.model_copy(update={"prenet": False}),
    "no post-net": TINY_NETWORK.model_copy(update={"postnet": False}),
    "content": TINY_NETWORK.model_copy(update={"attention": "content"}),
}


def network(spec: NetworkSpec) -> SpeechNetwork:
    torch.manual_seed(0)
    layout = shaft_layout(("A1", "A2", "A3", "A5", "B1", "B2", "C1", "C4"))
    window = CLOCK.memory_frames(Fraction(str(spec.memory_ms)) / 1000)
    made = SpeechNetwork(spec, 8, CLOCK.stride, window, layout=layout)
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
    frames = torch.randn(1, made.places, 16)
    memory = Memory(frames, attention.keys(frames), None)
    elsewhere = torch.eye(made.places)[:1]
    # The first preference for new frames is so strong that nothing else would show.
    torch.nn.init.zeros_(attention.energy_of_age)
    query, ages = attention.query_of(state.hidden[0]), attention.age_table()
    a, b = (
        attention(query, memory, ages, previous @ attention.location_matrix().T)[1]
        for previous in (state.alignment, elsewhere)
    )
    assert not torch.allclose(a, b)


def test_location_matrix_is_the_convolution() -> None:
    attention = network(TINY_NETWORK).decoder.attention
    previous = torch.rand(3, attention.places)
    convolved = attention.locate(previous)
    located = (previous @ attention.location_matrix().T).view(3, attention.places, -1)
    torch.testing.assert_close(located, convolved)


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


def gru(inputs: int, size: int) -> int:
    return 3 * size * (inputs + size + 2)


def counts(directions: int, places: int, ages: int) -> dict[str, int]:
    """Closed forms at the default sizes, 112 channels, stride 10."""
    frame, context = 256 * directions, 256 * directions + 32
    first = 75 if directions == 1 else 75 + 32
    channels, widths, kernels = (112, 128, 128), (128, 128, 75), (9, 5, 5)
    post = [(80, 256), *[(256, 256)] * 3, (256, 80)]
    attention = (256 + 1) * 128 + frame * 128 + 32 * 128 + 8 * 5 + 8 * 128 + 128
    return {
        "convolution": sum(
            a * b * k + 2 * b for a, b, k in zip(channels, widths, kernels, strict=True)
        ),
        "encoder": directions * (gru(first, 256) + 2 * gru(frame, 256)),
        "attention": attention + ages,
        "bridge": (3 * frame + 1) * 256 if directions == 2 else 0,
        "prenet": 81 * 256 + 257 * 256,
        "decoder": gru(context + 256, 256),
        "output": (context + 257) * 256 + 257 * 80,
        "postnet": sum(a * b * 5 + 2 * b for a, b in post),
    }


@pytest.mark.parametrize("causal", [True, False])
def test_parameter_counts(causal: bool) -> None:
    made = SpeechNetwork(NetworkSpec(causal=causal), 112, 10, 20)
    wanted = counts(1, 20, 20) if causal else counts(2, 20, 39)
    found = parameter_counts(made)
    total = found.pop("total")
    assert found == wanted
    assert total == sum(p.numel() for p in made.parameters())
    # The table in the docstring says the same.
    column = 1 if causal else 2
    table = dict.fromkeys(wanted, 0)
    for line in (parameter_counts.__doc__ or "").splitlines():
        cells = [cell for cell in re.split(r"\s{2,}", line.strip()) if cell]
        if cells and cells[0] in wanted:
            table[cells[0]] = int(cells[column].replace(" ", ""))
    assert table == wanted
    if causal:
        # DESIGN section 6: over 13 MB of float32 weights.
        assert 13e6 < 4 * total < 14e6
