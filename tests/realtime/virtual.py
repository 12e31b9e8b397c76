"""A world of virtual time: a producer of hops, a device with its own clock, the real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from realtime.playout.engine import Engine
from realtime.playout.exchange import SIZE, Count, Exchange
from realtime.playout.settings import PlayoutSettings

HOP = 240
HOP_S = 0.015


@dataclass
class World:
    """One thread, two clocks: `run` lets the engine feed a device that runs `ppm` fast.

    The producer delivers hop k at `times(k)`; `device_stall` is (from, until) in seconds. The
    device takes audio in periods of `period` frames, as real ones do.
    """

    settings: PlayoutSettings = field(default_factory=PlayoutSettings)
    rate: int = 48_000
    ppm: float = 0.0
    period: int = 512
    buffer: int = 1024
    device_stall: tuple[float, float] = (-1.0, -1.0)
    times: Callable[[int], float] = lambda k: (k + 1) * HOP_S
    audio: Callable[[int], np.ndarray] | None = None
    keep: bool = True

    def __post_init__(self) -> None:
        self.now = 0.0
        self.exchange = Exchange(bytearray(SIZE))
        delay = self.buffer / self.rate
        self.engine = Engine(self.exchange, self.settings, self.rate, delay)
        self.heard: list[np.ndarray] = []
        self.delays: list[tuple[float, float]] = []
        self._next = 0
        self._written = self._periods = 0
        self._silence = np.zeros(HOP, dtype=np.float32)
        self._seen = 0
        self.dac: dict[int, float] = {}

    def _taken(self) -> int:
        return self._periods * self.period

    def _tick(self) -> None:
        """Advance to the device's next period; deliver what the producer had ready before."""
        speed = self.rate * (1 + self.ppm * 1e-6)
        due = (self._periods + 1) * self.period / speed
        begin, end = self.device_stall
        if due >= begin:
            due += end - begin
        self.now = due
        self._periods += 1
        self.deliver()

    def deliver(self) -> None:
        """Push every hop whose time has come."""
        while self.times(self._next) <= self.now:
            audio = self._silence if self.audio is None else self.audio(self._next)
            self.exchange.push(audio, self._next, self.times(self._next))
            self._next += 1

    def run(self, until_s: float) -> Iterator[None]:
        """Render and write until virtual time `until_s`, pausing after each device period."""
        while self.now < until_s:
            block = self.engine.render()
            waited = False
            while self._written + len(block) - self._taken() > self.buffer:
                self._tick()
                waited = True
                yield
            self._written += len(block)
            free = self.buffer - (self._written - self._taken())
            self.engine.written(len(block), self.now, free if waited else None)
            if self.keep:
                self.heard.append(block)

    def finish(self, until_s: float) -> np.ndarray:
        """Run to `until_s`; all audio given to the device."""
        for _ in self.run(until_s):
            pass
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.float32)

    def drain(self) -> np.ndarray:
        """New rows (hop, DAC time)."""
        rows, self._seen = self.exchange.dacs_since(self._seen)
        return rows

    def count(self, which: Count) -> int:
        """One of the exchange's counters."""
        return self.exchange[which]
