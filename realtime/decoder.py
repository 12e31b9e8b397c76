"""Decoder ticks: one mel frame per hop, from a memory of the newest encoder frames."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from models.hops import HopClock
from models.streaming import Floats
from realtime.graph import StepGraph


class Decoder:
    """A `Stage` from encoder rows `(ticks, size + attention size)` to mel `(hops, 80)`.

    Hop `k` is decoded as soon as the `clock.ticks(k)` frames that it may see have come.

    Parameters
    ----------
    graph : the decoder's step graph.
    clock : which ticks belong to which hop.
    lookahead : the decoder's own look-ahead, seconds (`BundleSpec.lookahead_s`).
    """

    def __init__(
        self, graph: StepGraph, clock: HopClock, lookahead: Fraction = Fraction(0)
    ) -> None:
        self._graph, self._clock, self.latency = graph, clock, lookahead
        self._memory, self._keys = graph.inputs["memory"][0], graph.inputs["keys"][0]
        self._valid, self._mel = graph.inputs["valid"][0], graph.outputs["mel"][0]
        self.reset()

    def reset(self) -> None:
        """A cold start: an empty, masked memory."""
        self.forget()
        self.begin(0)

    def begin(self, hop: int) -> None:
        """The next row is the first encoder tick of hop `hop`, ticks counted from its start."""
        self._origin, self._ticks, self._hop = self._clock.end(hop - 1), 0, hop
        self._due = self._ticks_by(hop)

    def _ticks_by(self, hop: int) -> int:
        return (self._clock.end(hop) - self._origin) // self._clock.stride

    def forget(self) -> None:
        """Clear states and memory; the place on the hop grid stays."""
        self._graph.reset()
        for ring in (self._memory, self._keys, self._valid):
            ring.fill(0.0)

    def step(self, block: Floats) -> Floats:
        """Mel frames of the hops that these encoder rows complete."""
        mels = []
        for row in block:
            self._remember(row)
            while self._ticks == self._due:
                self._graph.run()
                mels.append(self._mel.copy())
                self._hop += 1
                self._due = self._ticks_by(self._hop)
        return np.array(mels, np.float32).reshape(-1, len(self._mel))

    def _remember(self, row: Floats) -> None:
        size = self._memory.shape[1]
        for ring, newest in (
            (self._memory, row[:size]),
            (self._keys, row[size:]),
            (self._valid, 1.0),
            # The last alignment moves along with the frames that it looked at.
            (self._graph.state("alignment")[0], 0.0),
        ):
            ring[:-1] = ring[1:]
            ring[-1] = newest
        self._ticks += 1
