"""A step graph: one ONNX Runtime session whose states stay in two sets of buffers.

An input `state.x` belongs to the output `next.x`. Step `i` reads set `i % 2` and writes the other,
through bindings made once: a step allocates nothing of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort

from models.errors import BundleError
from models.streaming import Floats

STATE, NEXT = "state.", "next."


class StepGraph(Protocol):
    """One step of a network: fill `inputs`, `run`, read `outputs`; all buffers are kept."""

    inputs: dict[str, Floats]
    outputs: dict[str, Floats]

    def state(self, name: str) -> Floats:
        """The buffer the next step will read state `name` from."""
        ...

    def run(self) -> None:
        """Step once."""
        ...

    def reset(self) -> None:
        """Zero every state."""
        ...


def session_options() -> ort.SessionOptions:
    """One thread, nothing spinning, denormals flushed: measured best for steps of a millisecond.

    Flushing holds for the thread that makes a session, from then on and in all it computes.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.log_severity_level = 3
    return options


class OnnxGraph:
    """A `StepGraph` in ONNX Runtime.

    Raises
    ------
    BundleError
        If the file is no ONNX graph of static float32 tensors.
    """

    def __init__(self, model: Path | bytes) -> None:
        try:
            source = model if isinstance(model, bytes) else str(model)
            self._session = ort.InferenceSession(
                source, session_options(), providers=["CPUExecutionProvider"]
            )
            reads, writes = self._session.get_inputs(), self._session.get_outputs()
            self.inputs = {a.name: _buffer(a) for a in reads if not a.name.startswith(STATE)}
            self.outputs = {a.name: _buffer(a) for a in writes if not a.name.startswith(NEXT)}
            states = [a for a in reads if a.name.startswith(STATE)]
            self._sets = [{a.name: _buffer(a) for a in states} for _ in range(2)]
        except Exception as err:
            name = "graph" if isinstance(model, bytes) else model
            raise BundleError(
                f"{name} cannot be loaded: {err}", "a step graph", "export the bundle again"
            ) from err
        self._bindings = [self._bind(0), self._bind(1)]
        self._current = 0

    def _bind(self, read: int) -> Any:
        binding = self._session.io_binding()
        for name, array in {**self.inputs, **self._sets[read]}.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        nexts = {k.replace(STATE, NEXT, 1): v for k, v in self._sets[1 - read].items()}
        for name, array in {**self.outputs, **nexts}.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        return binding

    def state(self, name: str) -> Floats:
        """The buffer the next step will read state `name` from."""
        return self._sets[self._current][STATE + name]

    def run(self) -> None:
        """Step once: from `inputs` and the current states to `outputs` and the next states."""
        self._session.run_with_iobinding(self._bindings[self._current])
        self._current = 1 - self._current

    def reset(self) -> None:
        """Zero every state."""
        for buffers in self._sets:
            for array in buffers.values():
                array.fill(0.0)
        self._current = 0


def _buffer(tensor: Any) -> Floats:
    if tensor.type != "tensor(float)" or not all(isinstance(n, int) for n in tensor.shape):
        raise ValueError(
            f"tensor {tensor.name} is {tensor.type} {tensor.shape}, not static float32"
        )
    return np.zeros(tensor.shape, np.float32)
