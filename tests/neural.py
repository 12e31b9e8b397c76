"""A small neural vocoder with random weights, exported once per test process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@cache
def tiny_network():
    """Random, but near enough to a single pass that its sound is sound."""
    import torch

    from models.networks.vocoder import VocoderNetwork
    from models.vocoder import VocoderNetSpec

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VocoderNetwork(VocoderNetSpec(size=16, hidden=24, layers=2, kernel=5))
        torch.nn.init.normal_(network.head.weight, std=0.1)
        for parameter in network.parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, 0.3, 0.2)
    return network.eval().requires_grad_(False)


@cache
def tiny_vocoder_path(int8: bool = False) -> Path:
    """Folder of the exported vocoder; read it, do not write into it (copy it first)."""
    from models.vocoder import VocoderSpec
    from training.vocoders.export import export_vocoder

    folder = tempfile.TemporaryDirectory(prefix="seegvox-tiny-vocoder-")
    _KEPT.append(folder)
    network = tiny_network()
    spec = VocoderSpec(name="tiny", network=network.spec)
    export_vocoder(network, spec, Path(folder.name) / "tiny", some_mel(220), int8)
    return Path(folder.name) / "tiny"


def some_mel(hops: int, seed: int = 0) -> np.ndarray:
    """Slowly changing frames, loud enough for the gate, `(hops, 80)`."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.3, (hops, 80))
    tilt = np.linspace(-1.0, -5.0, 80)
    return np.clip(tilt + np.cumsum(steps, 0) * 0.4, -9, 1).astype(np.float32)
