"""The torch modules behind the runtime's `StepGraph`: eager stepping, for parity and yardsticks."""

from __future__ import annotations

from typing import Any

import torch

from models.networks.network import SpeechNetwork
from models.networks.steps import DecoderStep, EncoderStep
from models.streaming import Floats
from realtime.graph import STATE


class TorchGraph:
    """A `StepGraph` that runs a step module eagerly."""

    def __init__(self, step: EncoderStep | DecoderStep) -> None:
        self._step: Any = step.eval()
        example = step.example()
        self._names = list(example)
        self._buffers = {name: tensor.detach().numpy() for name, tensor in example.items()}
        self.inputs = {k: v for k, v in self._buffers.items() if not k.startswith(STATE)}
        with torch.inference_mode():
            results = self._step(*example.values())
        self.outputs = {
            name: result.numpy().copy() for name, result in zip(step.outputs, results, strict=False)
        }

    def state(self, name: str) -> Floats:
        """The buffer the next step will read state `name` from."""
        return self._buffers[STATE + name]

    def run(self) -> None:
        """Step once."""
        with torch.inference_mode():
            results = self._step(*(torch.from_numpy(self._buffers[n]) for n in self._names))
        states = [n for n in self._names if n.startswith(STATE)]
        targets = [*self.outputs.values(), *(self._buffers[n] for n in states)]
        for target, result in zip(targets, results, strict=True):
            target[:] = result.numpy()

    def reset(self) -> None:
        """Zero every state."""
        for name, array in self._buffers.items():
            if name.startswith(STATE):
                array.fill(0.0)


def torch_graphs(network: SpeechNetwork) -> tuple[TorchGraph, TorchGraph]:
    """Encoder and decoder graphs of a network, in inference form."""
    network = network.eval()
    return TorchGraph(EncoderStep(network)), TorchGraph(DecoderStep(network))
