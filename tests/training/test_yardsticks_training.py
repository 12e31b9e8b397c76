from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from models.hops import HopClock
from models.networks.network import SpeechNetwork
from models.spec import OutputSpec
from tests.bundles import TINY_NETWORK
from training.yardsticks_training import measure_training_speed, plain_forward

CLOCK, HOPS, BATCH = HopClock(Fraction(1024)), 30, 3
VARIANTS = {
    "location": {},
    "content": {"attention": "content"},
    "none": {"attention": "none"},
    "bare": {"prenet": False, "postnet": False},
    "discrete": {"output": OutputSpec(kind="discrete", codes=4)},
}


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_plain_loop_is_the_same_network(variant: str, ratio: float) -> None:
    torch.manual_seed(0)
    spec = TINY_NETWORK.model_copy(update=VARIANTS[variant])
    network = SpeechNetwork(spec, 8, CLOCK.stride, 20).double().eval()
    for layer in network.postnet.layers:
        torch.nn.init.uniform_(layer.norm.weight, 0.5, 1.5)
    ticks = [CLOCK.ticks(k) for k in range(HOPS)]
    features = torch.randn(BATCH, CLOCK.end(HOPS - 1), 8, dtype=torch.double)
    truth = torch.randn(BATCH, HOPS, 80, dtype=torch.double)
    forced = torch.rand(HOPS, BATCH) < ratio
    out = network(features, ticks, truth, forced)
    gradients = []
    for frames in ((out.before, out.after), plain_forward(network, features, ticks, truth, forced)):
        loss = sum(((x - truth) ** 2).mean() for x in frames)
        found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
        gradients.append([*frames, *(g for g in found if g is not None)])
    # Double precision over 30 recurrent hops: rounding stays far below this.
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-9, rtol=1e-8)


def test_speed_is_measured_and_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    found = measure_training_speed(TINY_NETWORK, batch=2, rounds=2, threads=1)
    assert torch.get_num_threads() == before
    assert found["frames_per_step"] == 26
    assert found["frames_per_s"] > 0 and found["plain_frames_per_s"] > 0
