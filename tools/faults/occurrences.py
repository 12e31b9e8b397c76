"""When a fault happens: its stated or random times, on the grid of samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

import numpy as np

from tools.faults.packets import Injected
from tools.faults.plan import Fault, FaultPlan
from tools.faults.source import Times


@dataclass
class Occurrence:
    """One time of a fault, from `start` up to but without `end`, seconds of the source.

    `memory` is what the fault keeps about it, such as the contacts that were drawn.
    """

    fault: Fault
    start: float
    end: float
    number: int
    memory: Any = None

    def rows(self, times: Times) -> slice:
        """Rows of `(n,)` rising times that lie inside."""
        first, last = np.searchsorted(times, (self.start, self.end))
        return slice(int(first), int(last))

    def told(self, **more: Any) -> Injected:
        """What is told about it: its fault's parameters, and `more`."""
        return Injected(max(0.0, self.start), self.fault.kind, self.fault.detail() | more)


class Occurrences:
    """The times of one fault of a plan; asked with times that never fall.

    Starts are put on the next sample and lengths are whole samples, at least one, so 10 ms at
    1024 Hz is 10 samples wherever it begins. The draws depend on nothing but the plan.
    """

    def __init__(self, fault: Fault, plan: FaultPlan, index: int, fs: float) -> None:
        self.fault, self._fs = fault, fs
        self.rng = np.random.default_rng([plan.seed, index, 1])
        self._starts = _starts(fault, np.random.default_rng([plan.seed, index, 0]))
        self._next = next(self._starts, inf)
        self._running: list[Occurrence] = []
        self._number = 0

    def begun(self, until: float) -> list[Occurrence]:
        """Those that begin at or before `until` and were not told before."""
        new = []
        while (start := self._on_grid(self._next)) <= until:
            new.append(self._occurrence(start))
            self._next = next(self._starts, inf)
        return new

    def during(self, first: float, last: float) -> tuple[list[Occurrence], list[Occurrence]]:
        """Those that have a part in `first` to `last`, both included; and the new ones of them."""
        new = self.begun(last)
        self._running = [o for o in self._running + new if o.end > first]
        return self._running, new

    def _on_grid(self, start: float) -> float:
        # A hair earlier than the sample, so that a rounded time still lies inside.
        return (ceil(start * self._fs - 1e-6) - 0.25) / self._fs if start < inf else inf

    def _occurrence(self, start: float) -> Occurrence:
        length = self.fault.length_s
        samples = max(1, round(length * self._fs)) if length < inf else inf
        self._number += 1
        return Occurrence(self.fault, start, start + samples / self._fs, self._number)


def _starts(fault: Fault, rng: np.random.Generator) -> Iterator[float]:
    if fault.at_s:
        yield from sorted(fault.at_s)
        return
    time = fault.from_s
    while True:
        time += rng.exponential(60.0 / fault.per_minute)
        yield time
