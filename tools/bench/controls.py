"""What the machine does by itself, measured between everything else.

`timer` is a loop that does nothing but sleep until the next hop is due: how late it wakes is the
kernel's and the host's doing. `hiccup` spins for a millisecond and notes the longest time for which
it did not get on: an interrupt, another program, a host that gave the core to someone else.
"""

from __future__ import annotations

import time

import numpy as np

from tools.bench.rounds import Contestant, Times

SPIN_S = 0.001


def timer() -> Contestant:
    """The bare timer loop; its `wake` is the figure."""
    return Contestant(lambda: None)


class Hiccup:
    """Spins, and keeps the longest gap between two looks at the clock."""

    def __init__(self) -> None:
        self._longest: list[float] = []

    def contestant(self) -> Contestant:
        """As a contestant; the figure is its part `hiccup`."""
        return Contestant(self._spin, 0.2, self._parts)

    def _spin(self) -> None:
        clock = time.perf_counter
        begun = last = clock()
        longest = 0.0
        while last - begun < SPIN_S:
            now = clock()
            longest = max(longest, now - last)
            last = now
        self._longest.append(longest)

    def _parts(self) -> dict[str, Times]:
        told, self._longest = 1e3 * np.array(self._longest), []
        return {"hiccup": told}
