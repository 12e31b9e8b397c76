"""What a step is measured against: eager torch, window recomputation, the matrix-vector floor.

Weights are random, of the bundle's shapes: time does not depend on their values.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.networks.attention import Memory
from models.networks.decoder import DecoderState
from models.networks.folded import fold
from models.networks.network import SpeechNetwork
from models.networks.steps import DecoderStep, Named
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.graph import OnnxGraph
from training.fit import build_network
from training.onnx_export import export_module
from training.stepped import TorchGraph, torch_graphs


class WindowStep(nn.Module):
    """A hop without carried encoder state: the whole memory window is encoded afresh."""

    outputs = ("mel",)

    def __init__(self, network: SpeechNetwork) -> None:
        super().__init__()
        self.network = network

    def example(self) -> Named:
        """Inputs in the order of `forward`."""
        network = self.network
        states = DecoderStep(network).example()
        kept = {name: tensor for name, tensor in states.items() if name.startswith("state.")}
        samples = torch.zeros(1, network.places * network.stride, network.channels)
        return {"samples": samples, **kept}

    def forward(
        self, samples: Tensor, alignment: Tensor, last: Tensor, hidden: Tensor, *tails: Tensor
    ) -> tuple[Tensor, ...]:
        """Mel `(1, bands)` and next decoder states."""
        frames, keys = self.network.encode(samples)
        memory = Memory(frames, keys, torch.ones_like(alignment))
        state = DecoderState(alignment, last, hidden)
        mel, state, carried = self.network.decode_hop(memory, state, list(tails))
        return mel, *state, *carried


def random_network(spec: BundleSpec, channels: int) -> SpeechNetwork:
    """A network of the bundle's shapes, in inference form."""
    torch.manual_seed(0)
    return build_network(spec, channels).eval().requires_grad_(False)


def eager_graphs(spec: BundleSpec, channels: int) -> tuple[TorchGraph, TorchGraph]:
    """The torch modules stepped eagerly, on one thread like the runtime."""
    torch.set_num_threads(1)
    return torch_graphs(random_network(spec, channels))


def window_graph(spec: BundleSpec, channels: int, folder: Path) -> OnnxGraph:
    """Window recomputation in ONNX Runtime, with the runtime's own session options."""
    step = WindowStep(random_network(spec, channels))
    path = folder / "window_step.onnx"
    export_module(step, step.example(), step.outputs, path)
    return OnnxGraph(path)


def weight_count(spec: BundleSpec, channels: int) -> int:
    """Number of float32 weights that the two step graphs hold."""
    folded = fold(random_network(spec, channels))
    return sum(p.numel() for p in folded.parameters())


class Floor:
    """One float32 matrix-vector product over as many weights."""

    def __init__(self, weights: int) -> None:
        columns = int(weights**0.5)
        rng = np.random.default_rng(0)
        self._matrix: Floats = rng.standard_normal((weights // columns, columns)).astype(np.float32)
        self._vector: Floats = rng.standard_normal(columns).astype(np.float32)
        self._out: Floats = np.empty(len(self._matrix), np.float32)

    def run(self) -> None:
        """Multiply once."""
        np.dot(self._matrix, self._vector, out=self._out)
