"""From decoded hops to playout: what comes too late to be played is dropped, not queued.

A hop is too late when the moment at which it would have been heard is over: its last sample could
have been here a playout delay and a burst ago. Playout has run dry by then and will fill again with
what comes in time; what came between would only be delay for good.

A cold start leaves hops out. As long as playout has not run dry meanwhile, silence stands in for
them: what follows would be heard too early, and run dry, without it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.hops import HOP
from models.mel import VOCODER_HOP
from models.streaming import Floats
from realtime.fades import rise
from realtime.pipeline import Hop

# What is dropped for less than this is one stretch.
ON_TIME_HOPS = 33

_RISE = rise(VOCODER_HOP)


class Handover:
    """Pushes hops that are in time; joins what follows a dropped stretch without a step.

    Parameters
    ----------
    push : `Playout.push`.
    playout_s : the playout delay, seconds.
    """

    def __init__(self, push: Callable[[Floats, int], None], playout_s: float) -> None:
        self._push, self._playout_s = push, playout_s
        # Hops that playout holds.
        self._held = round(playout_s / HOP)
        self._tail: Floats = np.zeros(VOCODER_HOP, np.float32)
        self._tail_of = 0
        self._broken = False
        self._on_time = ON_TIME_HOPS
        self._silence: Floats = np.zeros(VOCODER_HOP, np.float32)
        self._next = -1
        self.dropped = 0
        """Hops that were not played."""

    @property
    def overloaded(self) -> bool:
        """Whether hops were dropped within the last half second of hops."""
        return self._on_time < ON_TIME_HOPS

    def hop(self, hop: Hop, now: float, burst_s: float) -> None:
        """Push a hop or drop it, and mark it so."""
        hop.dropped = now - hop.due > self._playout_s + burst_s
        first, self._next = self._next, hop.index + 1
        if hop.dropped:
            self._drop(hop)
            return
        self._on_time = min(self._on_time + 1, ON_TIME_HOPS)
        self._stand_in(first, hop.index)
        audio = hop.audio
        if self._broken:
            # The ring may still hold the hop before: what it led to fades into what there is.
            still = hop.index - self._tail_of <= self._held
            audio = audio * _RISE + (self._tail * _RISE[::-1] if still else 0)
            self._broken = False
        self._push(audio, hop.index)

    def _stand_in(self, first: int, index: int) -> None:
        if first >= 0 and index - first <= self._held:
            for left_out in range(first, index):
                self._push(self._silence, left_out)

    def _drop(self, hop: Hop) -> None:
        self.dropped += 1
        self._on_time = 0
        if not self._broken:
            self._tail[:] = hop.audio
            self._tail_of = hop.index
            self._broken = True
