"""A tiny bundle with random weights, exported once per test process."""

import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from models.hops import encoder_stride
from models.spec import BundleSpec, NetworkSpec

TINY_CONTACTS = tuple(f"{shaft}{n}" for shaft in ("LA", "RB") for n in range(1, 5))
TINY_NETWORK = NetworkSpec(
    conv_channels=(12, 10, 8),
    conv_features=8,
    encoder_layers=2,
    encoder_size=16,
    position_channels=4,
    attention_size=8,
    location_filters=2,
    prenet_size=12,
    decoder_size=16,
    postnet_channels=12,
    postnet_layers=3,
)
_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def tiny_spec(fs_hz: int = 1024, target_lookahead: int = 0) -> BundleSpec:
    """8 contacts on 2 shafts, small network sizes."""
    fs = Fraction(fs_hz)
    return BundleSpec(
        name="tiny",
        contacts=TINY_CONTACTS,
        fs_hz=fs,
        stride=encoder_stride(fs),
        network=TINY_NETWORK,
        target_lookahead=target_lookahead,
        provenance={"seed": 0, "weights": "random, never trained"},
    )


def noise_uv(seconds: float, fs_hz: int = 1024, seed: int = 0) -> np.ndarray:
    """White noise of 30 uV, `(samples, 8)`, float32."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 30, (int(seconds * fs_hz), len(TINY_CONTACTS))).astype(np.float32)


@cache
def tiny_trained(fs_hz: int = 1024, target_lookahead: int = 0):
    """`training.package.Trained` of random weights.

    Batch-norm statistics and affine parameters are random too, so that folding them wrongly at
    export shows; frames are denormalised to values like speech's.
    """
    import torch

    from models.frontend import FrontEnd, fit_statistics
    from training.fit import build_network
    from training.package import Trained

    spec = tiny_spec(fs_hz, target_lookahead)
    front_end = FrontEnd(spec.front_end, spec.contacts, spec.fs_hz)
    statistics = fit_statistics(front_end, [noise_uv(4, fs_hz)])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(spec, len(statistics.mean))
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                torch.nn.init.normal_(module.running_mean, 0.0, 0.3)
                torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0.0, 0.3)
    network.mel_mean.fill_(-7.0)
    network.mel_std.fill_(1.5)
    return Trained(spec, network.eval(), statistics)


@cache
def tiny_bundle_path(fs_hz: int = 1024, target_lookahead: int = 0) -> Path:
    """Folder of the exported bundle; read it, do not write into it (copy it first)."""
    from training.package import package

    folder = tempfile.TemporaryDirectory(prefix="seegvox-tiny-bundle-")
    _KEPT.append(folder)
    path = Path(folder.name) / "tiny"
    package(tiny_trained(fs_hz, target_lookahead), path, noise_uv(5, fs_hz, seed=1))
    return path


@pytest.fixture(scope="session")
def tiny_bundle() -> Path:
    """Folder of a tiny bundle at 1024 Hz; read it, do not write into it (copy it first)."""
    return tiny_bundle_path()
