"""The path of a hop; the one place that knows all the stages.

samples -> front end -> encoder ticks -> decoder tick -> vocoder -> limiter -> audio
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.frontend import FrontEnd, Statistics
from models.hops import HopClock
from models.mel import BANDS, LOG_FLOOR
from models.spec import Weights
from models.streaming import Floats, Stage, total_latency
from realtime.decoder import Decoder
from realtime.encoder import Encoder
from realtime.graph import OnnxGraph, StepGraph
from realtime.limiter import Limiter, LimiterSettings
from realtime.vocoders import FramewiseVocoder, vocoder_for

WARM_UP_STEPS = 30


@dataclass(slots=True)
class Hop:
    """One hop on its way; the pipeline fills the same object again for the next.

    Times are seconds on the pipeline's clock; the stage fields say when each stage was done.
    `mask` `(contacts,)` is True for contacts that were not used, `masked` counts them; `bridged`
    counts samples that never came and were put in. The session adds `due`, the earliest time at
    which its last sample could have been here, and whether its audio was `muted`, or `dropped`
    because it came too late to be played.
    """

    index: int = 0
    first_sample: int = 0
    last_sample: int = 0
    lsl_time: float = 0.0
    available: float = 0.0
    started: float = 0.0
    front_end: float = 0.0
    encoder: float = 0.0
    decoder: float = 0.0
    vocoder: float = 0.0
    limiter: float = 0.0
    masked: int = 0
    mask: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    bridged: int = 0
    finite: bool = True
    due: float = float("nan")
    muted: bool = False
    dropped: bool = False
    mel: Floats = field(default_factory=lambda: np.zeros(BANDS, np.float32))
    audio: Floats = field(default_factory=lambda: np.zeros(0, np.float32))


class Pipeline:
    """A `Stage` from microvolts `(n, contacts)` to audio at 16 kHz, `240` samples a hop.

    Parameters
    ----------
    clock : the hop clock.
    front_end, encoder, decoder, vocoder, limiter : the stages.
    now : the clock that hops are stamped with.
    """

    def __init__(
        self,
        clock: HopClock,
        front_end: FrontEnd,
        encoder: Encoder,
        decoder: Decoder,
        vocoder: FramewiseVocoder,
        limiter: Limiter,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock, self._now = clock, now
        self.front_end, self.encoder, self.decoder = front_end, encoder, decoder
        self.vocoder, self.limiter = vocoder, limiter
        self._stages: tuple[Stage, ...] = (front_end, encoder, decoder, vocoder, limiter)
        longest = max(clock.end(k) - clock.end(k - 1) for k in range(clock.hop.denominator))
        self._bridged = 0
        self._pending: Floats | None = None
        self._longest = longest
        self._hop = Hop()
        self.reset()

    @classmethod
    def from_bundle(
        cls,
        bundle: Bundle,
        vocoder: str = "phase",
        limiter: LimiterSettings | None = None,
        graphs: tuple[StepGraph, StepGraph] | None = None,
        now: Callable[[], float] = time.perf_counter,
        statistics: Statistics | None = None,
        weights: Weights | None = None,
    ) -> Pipeline:
        """Build every stage from a bundle.

        `graphs` replaces its ONNX encoder and decoder, `statistics` (of a calibration) its own;
        `weights` chooses among its graphs.
        """
        spec = bundle.spec
        encoder, decoder = graphs or map(OnnxGraph, bundle.graphs(weights))
        return cls(
            spec.clock,
            bundle.front_end(statistics),
            Encoder(encoder),
            Decoder(decoder, spec.clock, spec.lookahead_s),
            vocoder_for(vocoder, bundle.path),
            Limiter(limiter or LimiterSettings()),
            now,
        )

    @property
    def latency(self) -> Fraction:
        """Look-ahead of the whole path, seconds."""
        return total_latency(self._stages)

    def reset(self) -> None:
        """A cold start of every stage."""
        self.restart(0)

    def restart(self, index: int) -> None:
        """A cold start of every stage at hop `index` of the run's grid.

        The next sample is the first one of that hop, `clock.end(index - 1)`; what was held of a
        hop not yet complete is gone.
        """
        for stage in self._stages:
            stage.reset()
        self.decoder.begin(index)
        self._held, self._bridged, self._index = 0, 0, index
        self._start, self._end = self.clock.end(index - 1), self.clock.end(index)

    @property
    def next_hop(self) -> int:
        """Index of the hop that is decoded next; higher if a cold start comes first."""
        return self._index

    @property
    def position(self) -> int:
        """Place on the run's sample grid of the next sample."""
        return self._start + self._held

    def warm_up(self, contacts: int, steps: int = WARM_UP_STEPS) -> None:
        """Step through silence, so that the first real hop is no slower; then reset."""
        self.step(np.zeros((self.clock.end(steps), contacts), np.float32))
        self.reset()

    def step(self, block: Floats) -> Floats:
        """Audio of the hops that this block completes."""
        parts = [hop.audio for hop in self.hops(block)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def hops(
        self,
        block: Floats,
        timestamps: NDArray[np.float64] | None = None,
        available: float = 0.0,
        bridging: bool = False,
    ) -> Iterator[Hop]:
        """The hops that this block completes, one after another; iterate to the end.

        Parameters
        ----------
        block : `(n, contacts)`, microvolts, montage order.
        timestamps : `(n,)`, LSL time of each sample.
        available : when this block was available to the process.
        bridging : these samples stand in for some that never came.
        """
        pending = self._buffer(block)
        used = 0
        while True:
            size = self._end - self._start
            take = size - self._held
            if len(block) - used < take:
                break
            pending[self._held : size] = block[used : used + take]
            used, self._held = used + take, 0
            self._bridged += take if bridging else 0
            stamp = float("nan") if timestamps is None else float(timestamps[used - 1])
            yield self._step_hop(pending[:size], stamp, available)
        rest = len(block) - used
        pending[self._held : self._held + rest] = block[used:]
        self._held += rest
        self._bridged += rest if bridging else 0

    def _buffer(self, block: Floats) -> Floats:
        if self._pending is None:
            self._pending = np.zeros((self._longest, block.shape[1]), np.float32)
        return self._pending

    def _step_hop(self, samples: Floats, lsl_time: float, available: float) -> Hop:
        hop, now = self._hop, self._now
        hop.index, hop.first_sample, hop.last_sample = self._index, self._start, self._end - 1
        hop.lsl_time, hop.available, hop.started = lsl_time, available, now()
        features = self.front_end.step(samples)
        hop.front_end = now()
        frames = self.encoder.step(features)
        hop.encoder = now()
        hop.mel = self._decode(frames)
        hop.decoder = now()
        voiced = self.vocoder.step(hop.mel[None])
        hop.finite = hop.finite and self.vocoder.finite
        hop.vocoder = now()
        hop.audio = self.limiter.step(voiced)
        hop.limiter = now()
        hop.mask = self.front_end.masked
        hop.masked = int(np.count_nonzero(hop.mask))
        hop.bridged, self._bridged = self._bridged, 0
        self._index += 1
        self._start, self._end = self._end, self.clock.end(self._index)
        return hop

    def _decode(self, frames: Floats) -> Floats:
        mel: Floats = self.decoder.step(frames)[0]
        self._hop.finite = bool(np.isfinite(mel).all())
        if not self._hop.finite:
            # Silence before garbage; a state that made garbage would make it for ever.
            mel = np.full(BANDS, LOG_FLOOR, np.float32)
            self.forget()
        return mel

    def forget(self) -> None:
        """Clear the network's states without losing the place on the hop grid."""
        self.encoder.forget()
        self.decoder.forget()
