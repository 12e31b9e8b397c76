"""torch offline == torch stepped == ONNX stepped, from a cold start, over a minute."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import BundleError
from models.hops import encoder_stride
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec, NetworkSpec, OutputSpec
from realtime.graph import OnnxGraph
from tests.bundles import TINY_NETWORK
from training.fit import build_network
from training.onnx_export import export_steps
from training.proof import TOLERANCE, decode_offline, decode_stepped, prove
from training.stepped import torch_graphs

SECONDS = 61
CHANNELS = 16
# Full sizes at every rate; the options differ in form, not in size.
CASES = {
    "512": (512, NetworkSpec()),
    "1000": (1000, NetworkSpec()),
    "1024": (1024, NetworkSpec()),
    "2048": (2048, NetworkSpec()),
    "1024, 2d": (
        1024,
        TINY_NETWORK.model_copy(update={"conv": "2d", "conv_channels": (4, 6, 6)}),
    ),
    "1024, content": (1024, TINY_NETWORK.model_copy(update={"attention": "content"})),
    "1024, 3d": (
        1024,
        TINY_NETWORK.model_copy(update={"conv": "3d", "conv_channels": (4, 6, 6)}),
    ),
    "1024, discrete": (
        1024,
        TINY_NETWORK.model_copy(update={"output": OutputSpec(kind="discrete", codes=6)}),
    ),
    "1024, bare": (
        1024,
        TINY_NETWORK.model_copy(update={"attention": "none", "prenet": False, "postnet": False}),
    ),
}


def random_network(spec: BundleSpec) -> SpeechNetwork:
    torch.manual_seed(0)
    network = build_network(spec, CHANNELS)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(module.running_mean, 0.0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    network.mel_mean.fill_(-6.0)
    network.mel_std.fill_(2.5)
    return network.eval()


def spec_of(case: str) -> BundleSpec:
    rate, sizes = CASES[case]
    return BundleSpec(
        name=case,
        contacts=tuple(f"{'ABC'[i % 3]}{i // 3}" for i in range(CHANNELS)),
        fs_hz=Fraction(rate),
        stride=encoder_stride(Fraction(rate)),
        network=sizes,
    )


@pytest.mark.parametrize("case", CASES)
def test_three_ways_give_the_same_mel(case: str, tmp_path: Path) -> None:
    spec = spec_of(case)
    network = random_network(spec)
    samples = int(SECONDS * spec.fs_hz)
    features = np.random.default_rng(0).standard_normal((samples, CHANNELS)).astype(np.float32)
    offline = decode_offline(network, spec, features)
    paths = export_steps(network, tmp_path)
    onnx = OnnxGraph(paths["encoder"]), OnnxGraph(paths["decoder"])
    assert len(offline) == int(SECONDS / 0.015)
    # Far from constant, or the comparison would say nothing.
    assert offline.std(axis=0).mean() > 1e-3
    for graphs in (torch_graphs(network), onnx):
        stepped = decode_stepped(graphs, spec, features)
        # The bound on mel values (nepers); measured departures are near 1e-6.
        assert np.max(np.abs(stepped - offline)) < 1e-4


def test_graphs_of_another_network_are_not_proved(tmp_path: Path) -> None:
    spec = spec_of("512")
    paths = export_steps(random_network(spec), tmp_path)
    graphs = OnnxGraph(paths["encoder"]), OnnxGraph(paths["decoder"])
    other = random_network(spec)
    with torch.no_grad():
        other.decoder.project.bias += 10 * TOLERANCE
    features = np.random.default_rng(0).standard_normal((4096, CHANNELS)).astype(np.float32)
    with pytest.raises(BundleError, match="differ by"):
        prove(other, graphs, spec, features)


def test_a_network_that_sees_the_future_is_no_bundle(tmp_path: Path) -> None:
    spec = spec_of("512").model_copy(
        update={"network": TINY_NETWORK.model_copy(update={"causal": False})}
    )
    with pytest.raises(BundleError, match=r"not causal.*network\.causal = true"):
        export_steps(build_network(spec, CHANNELS), tmp_path)
    assert not list(tmp_path.iterdir())
