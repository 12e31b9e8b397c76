"""Hours of stream through the session's core and playout on a virtual clock, as fast as it goes.

Real are: the core with its policy, the pipeline, the playout's engine with its resampler. Simulated
are: the clock, the amplifier (bursts, jitter, and faults in plenty) and the sound card. Not there:
LSL, the record's process, outlets; `--real` has them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.streaming import Floats
from realtime.environment import resident_mb
from realtime.events import Event
from realtime.pipeline import Hop, Pipeline
from realtime.playout.engine import Engine
from realtime.playout.exchange import SIZE, Count, Exchange
from realtime.playout.settings import PlayoutSettings
from realtime.policy import Policy
from realtime.scheduling import SchedulingSettings, quiet_process
from realtime.session_core import SessionCore
from tools.vitals import Vitals

BURST = 16
# Every so many seconds, primes, so that they meet in all orders.
SHORT_GAP_S, LONG_GAP_S, NAN_S, DUPLICATE_S = 61, 307, 97, 151
READ_S = 60.0
CARD_RATE, CARD_BUFFER = 48_000, 1024
AMPLIFIER_PPM, CARD_PPM = 100.0, -100.0


@dataclass
class Block:
    """What the core is fed: see `realtime.session_core`."""

    samples: Floats
    timestamps: NDArray[np.float64]
    available: float


@dataclass
class Cost:
    """Compute of hops in one stretch of stream, seconds."""

    core: list[float] = field(default_factory=list)
    playout: list[float] = field(default_factory=list)

    def summary(self, at_s: float) -> dict[str, float]:
        """Median and p99, milliseconds."""
        values = {"hop": np.array(self.core), "playout": np.array(self.playout)}
        figures = {
            f"{name}_{label}_ms": round(1e3 * float(np.percentile(spent, q)), 4)
            for name, spent in values.items()
            for label, q in (("p50", 50), ("p99", 99))
            if len(spent)
        }
        return {"until_s": round(at_s, 1), "hops": len(self.core), **figures}


class Card:
    """A sound card on the virtual clock, fed by the real engine."""

    def __init__(self, settings: PlayoutSettings) -> None:
        self.exchange = Exchange(bytearray(SIZE))
        self._speed = CARD_RATE * (1 + CARD_PPM * 1e-6)
        delay = CARD_BUFFER / CARD_RATE
        self._engine = Engine(self.exchange, settings, CARD_RATE, delay)
        self._begin, self._frames, self._seen = float("nan"), 0, 0

    def advance(self, now: float) -> None:
        """Let the engine fill the device as far as it has made room by `now`."""
        if np.isnan(self._begin):
            self._begin = now
        while (room_at := self._room_at()) <= now:
            block = self._engine.render()
            self._frames += len(block)
            self._engine.written(len(block), room_at, 0)
        rows, self._seen = self.exchange.dacs_since(self._seen)
        del rows

    def _room_at(self) -> float:
        return self._begin + (self._frames - CARD_BUFFER) / self._speed

    def figures(self) -> dict[str, float]:
        """Counts of the playout."""
        counts = (Count.UNDERRUNS, Count.TRIMS, Count.PLAYED)
        told = {count.name.lower(): self.exchange[count] for count in counts}
        return {**told, "ratio_ppm": round(self._engine.ratio_ppm, 1)}


class VirtualSoak:
    """One run on the virtual clock.

    Parameters
    ----------
    bundle : what decodes.
    seeg : `(samples, contacts)`, microvolts, montage order, played in a loop.
    stretch_s : hop times are told for every so many seconds of stream.
    progress : is given the figures of each stretch.
    """

    def __init__(
        self,
        bundle: Bundle,
        seeg: Floats,
        stretch_s: float = 600.0,
        progress: Callable[[dict[str, float]], None] = lambda figures: None,
    ) -> None:
        spec = bundle.spec
        self._pipeline = Pipeline.from_bundle(bundle)
        self._pipeline.warm_up(len(spec.contacts))
        self._playout = PlayoutSettings(sink="null", target_ms=60)
        self._card = Card(self._playout)
        self.events: Counter[str] = Counter()
        self._core = SessionCore(
            self._pipeline, spec.contacts, 1.0, Policy(), self._tell, self._playout.target_ms / 1e3
        )
        self._seeg, self._fs = seeg, float(spec.fs_hz)
        self._stretch_s, self._progress = stretch_s, progress
        self.vitals, self._cost = Vitals(), Cost()
        self.stretches: list[dict[str, float]] = []
        self._hops = Counter[str]()

    def _tell(self, event: Event) -> None:
        self.events[event.kind] += 1

    def run(self, seconds: float, wall_s: float = float("inf")) -> dict[str, Any]:
        """Stream for `seconds` of virtual time, but no longer than `wall_s` of real time."""
        begin, reached = time.perf_counter(), 0.0
        next_read, next_stretch = 0.0, self._stretch_s
        with quiet_process(real_time=False, wanted=SchedulingSettings(raised=False)):
            for block in blocks(self._seeg, self._fs, seconds):
                reached = block.available
                self._step(block)
                if reached >= next_read:
                    self.vitals.read(reached)
                    next_read += READ_S
                    if time.perf_counter() - begin > wall_s:
                        break
                if reached >= next_stretch:
                    self._close_stretch(reached)
                    next_stretch += self._stretch_s
        if self._cost.core:
            self._close_stretch(reached)
        return self._figures(reached, seconds, time.perf_counter() - begin)

    def _step(self, block: Block) -> None:
        begun = time.perf_counter()
        for hop in self._core.feed(block):
            self._cost.core.append(time.perf_counter() - begun)
            self._take(hop, block.available)
            begun = time.perf_counter()

    def _take(self, hop: Hop, now: float) -> None:
        begun = time.perf_counter()
        self._card.exchange.push(hop.audio, hop.index, now)
        self._card.advance(now)
        self._cost.playout.append(time.perf_counter() - begun)
        self._hops["all"] += 1
        self._hops["muted"] += hop.muted
        self._hops["not_finite"] += not hop.finite
        self._hops["masked"] += bool(hop.masked)

    def _close_stretch(self, at_s: float) -> None:
        figures = self._cost.summary(at_s) | {"resident_mb": round(resident_mb(), 2)}
        self.stretches.append(figures)
        self._progress(figures)
        self._cost = Cost()

    def _figures(self, reached: float, asked: float, wall_s: float) -> dict[str, Any]:
        return {
            "asked_hours": round(asked / 3600, 3),
            "streamed_hours": round(reached / 3600, 3),
            "wall_s": round(wall_s, 1),
            "times_real_time": round(reached / wall_s, 1),
            "hops": dict(self._hops),
            "samples": vars(self._core.counts),
            "events": dict(self.events),
            "playout": self._card.figures(),
            "vitals": self.vitals.summary(),
            "stretches": self.stretches,
            "hop_p50_drift": drift(self.stretches, "hop_p50_ms"),
            "hop_p99_drift": drift(self.stretches, "hop_p99_ms"),
        }


def drift(stretches: list[dict[str, float]], name: str) -> float | None:
    """Median of the last third of the stretches over that of the first third; None if too few."""
    values = [row[name] for row in stretches if name in row]
    third = len(values) // 3
    if not third:
        return None
    return round(float(np.median(values[-third:]) / np.median(values[:third])), 3)


def blocks(seeg: Floats, fs: float, seconds: float) -> Iterator[Block]:
    """Bursts as an amplifier sends them that runs fast, loses, repeats and garbles samples."""
    rate, rng = fs * (1 + AMPLIFIER_PPM * 1e-6), np.random.default_rng(0)
    index = np.arange(BURST)
    lost, due = 0, {"short": SHORT_GAP_S, "long": LONG_GAP_S, "nan": NAN_S, "twice": DUPLICATE_S}
    for number in range(int(seconds * rate) // BURST):
        first = number * BURST
        at = first / rate
        stamps = (first + index) / rate
        samples = np.take(seeg, first + index, axis=0, mode="wrap")
        arrived = stamps[-1] + 0.0005 + rng.exponential(0.0005)
        if lost:
            lost -= 1
            continue
        lost = _gap(at, due, rate)
        if _is_due("nan", at, due, NAN_S):
            samples[:, number % samples.shape[1]] = np.nan
        block = Block(samples, stamps, arrived)
        yield block
        if _is_due("twice", at, due, DUPLICATE_S):
            yield Block(samples.copy(), stamps.copy(), arrived + 1e-4)


def _gap(at: float, due: dict[str, int], rate: float) -> int:
    """Bursts to lose after this one."""
    if _is_due("short", at, due, SHORT_GAP_S):
        return 2
    if _is_due("long", at, due, LONG_GAP_S):
        return int(rate / BURST)
    return 0


def _is_due(name: str, at: float, due: dict[str, int], every: int) -> bool:
    if at < due[name]:
        return False
    due[name] += every
    return True
