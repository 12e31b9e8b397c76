"""The network that is not causal: windows, each decoded by itself."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from pydantic import ValidationError

from models.errors import BundleError
from models.hops import HopClock
from models.networks.network import SpeechNetwork
from models.networks.steps import DecoderStep, EncoderStep
from models.networks.windows import Windows
from models.spec import NetworkSpec, OutputSpec
from tests.bundles import TINY_NETWORK
from tests.models.networks.test_network import CLOCK, network

HOPS = 45
TICKS = [CLOCK.ticks(k) for k in range(HOPS)]
PLAIN = {"causal": False}
VARIANTS = {
    "1d": PLAIN,
    "2d": {**PLAIN, "conv": "2d", "conv_channels": (4, 6, 6)},
    "3d": {**PLAIN, "conv": "3d", "conv_channels": (4, 6, 6)},
    "content": {**PLAIN, "attention": "content"},
    "reversed": {**PLAIN, "reverse_time": True},
    "past and future": {**PLAIN, "context": (1, 1)},
    "more past, reversed": {**PLAIN, "context": (2, 0), "reverse_time": True},
    "discrete": {**PLAIN, "output": OutputSpec(kind="discrete", codes=4)},
}


def spec_of(variant: str) -> NetworkSpec:
    return TINY_NETWORK.model_copy(update=VARIANTS[variant])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_hop_sees_its_window_and_its_context_and_no_more(variant: str) -> None:
    made = network(spec_of(variant))
    features = torch.randn(1, CLOCK.end(HOPS - 1), 8, requires_grad=True)
    out = made(features, TICKS)
    assert out.after.shape == (1, HOPS, 80)
    past, future = made.spec.context
    for hop in (0, 12, 13, 20, HOPS - 1):
        (gradient,) = torch.autograd.grad(out.after[0, hop].sum(), features, retain_graph=True)
        reach = gradient[0].abs().sum(1).nonzero().flatten()
        first = hop // 13 * 13
        start = (TICKS[first - 1] if first else 0) * CLOCK.stride
        window = made.window * CLOCK.stride
        assert int(reach.min()) >= max(0, start - past * window)
        assert int(reach.max()) < start + (1 + future) * window
        # It does see what comes after it, and all that it may.
        assert int(reach.max()) >= min(features.shape[1], start + (1 + future) * window) - 9
        assert int(reach.min()) <= max(0, start - past * window) + 9


def test_the_hops_of_a_window_fill_it() -> None:
    for rate in (512, 1000, 1024, 2048):
        clock = HopClock(Fraction(rate))
        frames = clock.memory_frames()
        windows = Windows([clock.ticks(k) for k in range(1000)], 13, frames, (0, 0))
        assert windows.count == 77
        # 13 hops are 195 ms: they end in the window, within two frames (20 ms) of its end.
        assert int(windows.ends[:-1].max()) <= frames
        assert int(windows.ends[:-1, -1].min()) >= frames - 2


def test_windows_do_not_depend_on_their_neighbours() -> None:
    made = network(spec_of("1d"))
    features = torch.randn(2, CLOCK.end(HOPS - 1), 8)
    whole = made(features, TICKS)
    start = TICKS[12] * CLOCK.stride
    ticks = [tick - TICKS[12] for tick in TICKS[13:26]]
    alone = made(features[:, start : start + made.window * CLOCK.stride], ticks)
    torch.testing.assert_close(alone.after, whole.after[:, 13:26], atol=1e-6, rtol=1e-5)


def test_frames_beyond_the_recording_are_not_attended_to() -> None:
    made = network(spec_of("past and future"))
    out = made(torch.randn(1, CLOCK.end(HOPS - 1), 8), TICKS)
    assert out.alignment.shape == (1, HOPS, 60)
    assert torch.count_nonzero(out.alignment[0, :13, :20]) == 0
    assert torch.count_nonzero(out.alignment[0, 13:26, :20]) > 0
    torch.testing.assert_close(out.alignment.sum(2), torch.ones(1, HOPS))


def test_attention_begins_near_its_own_hop() -> None:
    made = network(spec_of("past and future"))
    with torch.no_grad():
        for parameter in made.decoder.attention.score.parameters():
            parameter.zero_()
    out = made(torch.randn(1, CLOCK.end(HOPS - 1), 8), TICKS)
    newest = torch.tensor([TICKS[k] - TICKS[12] + 19 for k in range(13, 26)])
    assert torch.equal(out.alignment[0, 13:26].argmax(1), newest)


def test_reversal_turns_the_window_around() -> None:
    forwards, backwards = network(spec_of("1d")), network(spec_of("reversed"))
    x = torch.randn(1, 200, 8)
    windows = forwards.windows(TICKS[:13])
    a, _ = forwards._encode_windows(windows, x.flip(1))
    b, _ = backwards._encode_windows(windows, x)
    torch.testing.assert_close(a.flip(1), b)


def test_batch_is_not_mixed() -> None:
    made = network(spec_of("past and future"))
    x, truth = torch.randn(3, CLOCK.end(HOPS - 1), 8), torch.randn(3, HOPS, 80)
    forced = torch.rand(HOPS, 3) < 0.5
    together = made(x, TICKS, truth, forced).after
    for row in range(3):
        alone = made(x[row : row + 1], TICKS, truth[row : row + 1], forced[:, row : row + 1]).after
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_hop_frames_are_complete_at_their_hop(causal: bool) -> None:
    made = network(TINY_NETWORK.model_copy(update={"causal": causal}))
    x = torch.randn(2, CLOCK.end(HOPS - 1), 8)
    frames = made.hop_frames(x, TICKS)
    assert frames.shape == (2, HOPS, 16 if causal else 32)
    if causal:
        torch.testing.assert_close(frames[:, 7], made.encode(x)[0][:, TICKS[7] - 1])


@pytest.mark.parametrize("step", [EncoderStep, DecoderStep])
def test_what_sees_the_future_cannot_be_stepped(step: type[EncoderStep | DecoderStep]) -> None:
    made = SpeechNetwork(spec_of("1d"), 8, 10, 20)
    with pytest.raises(BundleError, match=r"not causal.*expected network\.causal = true"):
        step(made)


@pytest.mark.parametrize("option", [{"reverse_time": True}, {"context": (1, 0)}])
def test_options_that_see_the_future_are_refused_of_a_causal_network(option: dict) -> None:
    with pytest.raises(ValidationError, match="causal = false"):
        NetworkSpec(**option)
    assert not NetworkSpec(causal=False, **option).causal


def test_widths_follow_the_kind_of_convolution() -> None:
    assert NetworkSpec(conv="3d").conv_channels == (15, 30, 45)
    assert NetworkSpec(conv="2d", conv_channels=(1, 2, 3)).conv_channels == (1, 2, 3)
