"""Samples to hops on the run's grid: decode, bridge, pass over, start cold.

Hop `k` ends before sample `ceil((k + 1) * hop * fs)` of the run, counted from its first sample,
samples that never came or were not decoded included.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.streaming import Floats
from realtime.bridge import Bridge
from realtime.pipeline import Hop, Pipeline


class GridFeed:
    """Keeps the pipeline on the grid whatever is missing.

    Parameters
    ----------
    pipeline : fresh.
    contacts : columns of the samples.
    line_hz : of the line noise that stand-ins must go on with, Hz.
    """

    def __init__(self, pipeline: Pipeline, contacts: int, line_hz: float = 50.0) -> None:
        self._pipeline = pipeline
        self._bridge = Bridge(pipeline.clock.fs, line_hz, contacts)
        self.position = 0
        """Place on the grid of the next sample."""
        self._to_boundary = 0
        self._last_stamp = 0.0

    def rows(self, samples: Floats, stamps: NDArray[np.float64], available: float) -> Iterator[Hop]:
        """Hops that `(n, contacts)` samples, n > 0, complete."""
        self._bridge.remember(samples)
        self._last_stamp = float(stamps[-1])
        yield from self._decode(samples, stamps, available, bridging=False)

    def bridge(self, lost: int, after: Floats, stamp: float, available: float) -> Iterator[Hop]:
        """Hops that stand-ins for `lost` samples complete; `(contacts,)` after them at `stamp`."""
        stand_ins = self._bridge.across(lost, after)
        stamps = np.linspace(self._last_stamp, stamp, lost + 2)[1:-1]
        yield from self._decode(stand_ins, stamps, available, bridging=True)

    def pass_over(self, samples: int) -> None:
        """Samples that are not decoded; a cold start has to follow."""
        self.position += samples

    def cold_start(self) -> int:
        """States of every stage forget; go on where the next hop of the grid begins; its index."""
        clock = self._pipeline.clock
        hop = clock.hops_in(self.position)
        hop += clock.end(hop - 1) < self.position
        self._pipeline.restart(hop)
        self._to_boundary = clock.end(hop - 1) - self.position
        return hop

    def _decode(
        self, samples: Floats, stamps: NDArray[np.float64], available: float, bridging: bool
    ) -> Iterator[Hop]:
        self.position += len(samples)
        passed = min(self._to_boundary, len(samples))
        self._to_boundary -= passed
        yield from self._pipeline.hops(samples[passed:], stamps[passed:], available, bridging)
