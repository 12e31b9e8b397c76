"""An amplifier on a virtual clock, and a pipeline whose frames tell which samples they are of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from models.hops import HopClock
from models.mel import BANDS, VOCODER_HOP
from realtime.events import Event
from realtime.pipeline import Hop, Pipeline
from realtime.policy import Policy
from realtime.session_core import SessionCore

FS = Fraction(1024)
CONTACTS = ("A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10")
PULL = 256


@dataclass(frozen=True)
class Block:
    samples: np.ndarray
    timestamps: np.ndarray
    available: float


def samples_of(numbers: np.ndarray) -> np.ndarray:
    """Sample `n` carries `n` in its first contact and noise of its own in the others."""
    rng = np.random.default_rng(7)
    table = rng.standard_normal((997, len(CONTACTS))).astype(np.float32)
    rows = table[numbers % 997].copy()
    rows[:, 0] = numbers
    return rows


@dataclass
class Amplifier:
    """Blocks of true samples `[start, stop)`, in packets of `burst`, at the local time they come.

    Sample `n` is taken at `origin + n / fs / (1 + ppm)`; a packet arrives `delay_s` after its last
    sample. The stamps are those times, plus `jitter_s * |N(0, 1)|` for each packet, on a clock that
    is `ahead_s` ahead of ours.
    """

    burst: int = 16
    ppm: float = 0.0
    jitter_s: float = 0.0
    delay_s: float = 0.001
    ahead_s: float = 0.0
    origin: float = 1000.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def time_of(self, numbers: np.ndarray) -> np.ndarray:
        return self.origin + (numbers + 1) / float(FS) / (1 + 1e-6 * self.ppm)

    def packets(self, start: int, stop: int, lost: Iterable[range] = ()) -> Iterator[Block]:
        gone = {n for span in lost for n in span}
        for first in range(start, stop, self.burst):
            numbers = np.arange(first, min(first + self.burst, stop))
            times = self.time_of(numbers)
            kept = np.array([n not in gone for n in numbers.tolist()])
            if not kept.any():
                continue
            late = self.jitter_s * abs(self._rng.standard_normal()) if self.jitter_s else 0.0
            stamps = times[kept] + late + self.ahead_s
            yield Block(samples_of(numbers[kept]), stamps, float(times[-1]) + self.delay_s + late)


class _FrontEnd:
    latency = Fraction(0)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.masked = np.zeros(len(CONTACTS), np.bool_)

    def step(self, block: np.ndarray) -> np.ndarray:
        self.masked = ~np.isfinite(block).all(axis=0)
        return block


class _Sum:
    """Everything since the last cold start, in one number: a recurrent state."""

    latency = Fraction(0)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.state = np.float32(0)

    def forget(self) -> None:
        self.reset()

    def begin(self, hop: int) -> None:
        self.began = hop

    def step(self, rows: np.ndarray) -> np.ndarray:
        self.state = np.float32(0.9) * self.state + np.float32(np.nansum(rows[:, 1:]))
        mel = np.zeros((1, BANDS), np.float32)
        mel[0, :3] = rows[0, 0], rows[-1, 0], self.state
        return mel


class _Same:
    latency = Fraction(0)

    def reset(self) -> None:
        pass

    def forget(self) -> None:
        pass

    def step(self, block: np.ndarray) -> np.ndarray:
        return block


class _Silence(_Same):
    finite = True

    def step(self, block: np.ndarray) -> np.ndarray:
        return np.zeros(len(block) * VOCODER_HOP, np.float32)


def stub_pipeline() -> Pipeline:
    """Mel of a hop: number of its first and of its last sample, then a state over all samples."""
    return Pipeline(
        HopClock(FS),
        _FrontEnd(),  # type: ignore[arg-type]
        _Same(),  # type: ignore[arg-type]
        _Sum(),  # type: ignore[arg-type]
        _Silence(),
        _Same(),  # type: ignore[arg-type]
    )


@dataclass
class Heard:
    """What is kept of a hop."""

    index: int
    first: int
    last: int
    lsl_time: float
    available: float
    due: float
    bridged: int
    muted: bool
    masked: int
    mel: np.ndarray

    @classmethod
    def of(cls, hop: Hop) -> Heard:
        return cls(
            hop.index,
            hop.first_sample,
            hop.last_sample,
            hop.lsl_time,
            hop.available,
            hop.due,
            hop.bridged,
            hop.muted,
            hop.masked,
            hop.mel.copy(),
        )


class Session:
    """A core on a virtual clock: `play` blocks as a service would, silence in between."""

    def __init__(
        self, playout_s: float = 0.045, given_up: tuple[str, ...] = (), **policy: float
    ) -> None:
        self.events: list[Event] = []
        self.states: list[tuple[float, str]] = []
        self.hops: list[Heard] = []
        self.pipeline = stub_pipeline()
        self.core = SessionCore(
            self.pipeline,
            CONTACTS,
            1.0,
            Policy(**policy),  # type: ignore[arg-type]
            self._take,
            playout_s,
            np.array([contact in given_up for contact in CONTACTS]),
        )
        self.now = 0.0

    def _take(self, event: Event) -> None:
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def all(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    def connect(self, now: float) -> None:
        self.core.connected(now)

    def play(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self.wait(block.available)
            for start in range(0, len(block.timestamps), PULL):
                part = slice(start, start + PULL)
                pulled = Block(block.samples[part], block.timestamps[part], block.available)
                self.hops += [Heard.of(hop) for hop in self.core.feed(pulled)]

    def wait(self, until: float) -> None:
        """Pulls of 20 ms that bring nothing."""
        if self.now == 0.0:
            self.now = until
        while self.now + 0.02 < until:
            self.now += 0.02
            self.core.silence(self.now)
        self.now = max(self.now, until)

    @property
    def state(self) -> str:
        return self.core.states.state

    def check_grid(self) -> None:
        """Hops that hold no stand-ins begin and end with the very samples they say."""
        clock = HopClock(FS)
        indexes = [hop.index for hop in self.hops]
        assert indexes == sorted(set(indexes))
        for hop in self.hops:
            assert (hop.first, hop.last) == (clock.end(hop.index - 1), clock.end(hop.index) - 1)
            if not hop.bridged:
                assert hop.mel[:2].tolist() == [hop.first, hop.last], hop
