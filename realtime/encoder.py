"""Encoder ticks: every `stride` feature samples give one frame and its attention key."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from models.streaming import Floats
from realtime.graph import StepGraph


class Encoder:
    """A `Stage` from features `(n, channels)` to `(ticks, size + attention size)`.

    A row is the frame, then its key. Samples short of a tick wait for the next block.
    """

    latency = Fraction(0)

    def __init__(self, graph: StepGraph) -> None:
        self._graph = graph
        _, self.stride, self.channels = graph.inputs["samples"].shape
        self._samples = graph.inputs["samples"][0]
        self._frame, self._key = graph.outputs["frame"][0], graph.outputs["key"][0]
        self._waiting = 0

    def reset(self) -> None:
        """A cold start."""
        self.forget()
        self._waiting = 0

    def forget(self) -> None:
        """Clear the network's states; the place within the tick stays."""
        self._graph.reset()

    def step(self, block: Floats) -> Floats:
        """Frames and keys of the ticks that this block completes."""
        size = len(self._frame)
        ticks = (self._waiting + len(block)) // self.stride
        out = np.empty((ticks, size + len(self._key)), np.float32)
        used = 0
        for tick in range(ticks):
            take = self.stride - self._waiting
            self._samples[self._waiting :] = block[used : used + take]
            used, self._waiting = used + take, 0
            self._graph.run()
            out[tick, :size], out[tick, size:] = self._frame, self._key
        rest = len(block) - used
        self._samples[self._waiting : self._waiting + rest] = block[used:]
        self._waiting += rest
        return out
