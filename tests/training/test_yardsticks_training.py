from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from models.hops import HopClock
from models.networks.network import SpeechNetwork
from models.spec import OutputSpec
from tests.bundles import TINY_NETWORK
from training.yardsticks_training import measure_features, measure_training_speed, plain_forward

CLOCK, HOPS, BATCH = HopClock(Fraction(1024)), 30, 3
VARIANTS = {
    "location": {},
    "content": {"attention": "content"},
    "none": {"attention": "none"},
    "bare": {"prenet": False, "postnet": False},
    "discrete": {"output": OutputSpec(kind="discrete", codes=4)},
    "published": {"causal": False},
}


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_plain_loop_is_the_same_network(variant: str, ratio: float) -> None:
    torch.manual_seed(0)
    spec = TINY_NETWORK.model_copy(update=VARIANTS[variant])
    network = SpeechNetwork(spec, 8, CLOCK.stride, 20).double().eval()
    hops = HOPS if spec.causal else network.window_hops
    for layer in network.postnet.layers:
        torch.nn.init.uniform_(layer.norm.weight, 0.5, 1.5)
    ticks = [CLOCK.ticks(k) for k in range(hops)]
    samples = CLOCK.end(hops - 1) if spec.causal else network.places * CLOCK.stride
    features = torch.randn(BATCH, samples, 8, dtype=torch.double)
    truth = torch.randn(BATCH, hops, 80, dtype=torch.double)
    forced = torch.rand(hops, BATCH) < ratio
    out = network(features, ticks, truth, forced)
    run = (network, features, ticks, truth, forced)
    loops = [plain_forward(*run, stepped_postnet=way) for way in {False, spec.causal}]
    gradients = []
    for frames in ((out.before, out.after), *loops):
        loss = sum(((x - truth) ** 2).mean() for x in frames)
        found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
        gradients.append([*frames, *(g for g in found if g is not None)])
    # Double precision over 30 recurrent hops: rounding stays far below this.
    for plain in gradients[1:]:
        for a, b in zip(gradients[0], plain, strict=True):
            torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-8)


@pytest.mark.parametrize("causal", [True, False])
def test_speed_is_measured_and_threads_are_given_back(causal: bool) -> None:
    before = torch.get_num_threads()
    spec = TINY_NETWORK.model_copy(update={"causal": causal})
    found = measure_training_speed(spec, batch=2, rounds=2, threads=1)
    assert torch.get_num_threads() == before
    assert found["frames_per_step"] == 26
    rates = [value for name, value in found.items() if name.endswith("frames_per_s")]
    assert len(rates) == (3 if causal else 2) and min(rates) > 0
    assert ("stepped_postnet_ratio" in found) == causal


def test_features_are_measured() -> None:
    found = measure_features(0.05)
    assert found["contacts"] == 112 and found["features_s"] >= 0
