"""The live service: pull, step, push, until told to stop.

waiting -> warming (muted) -> decoding -> stopped. One thread carries a hop from the inlet to
playout; what it tells goes through a queue, and nothing on its way waits for a file.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import pylsl
from threadpoolctl import threadpool_limits

from models.bundle import Bundle, load_bundle
from models.files import refuse_busy
from realtime.environment import environment, resident_mb
from realtime.golden import check_golden
from realtime.inlet import Block, Inlet
from realtime.pipeline import Pipeline
from realtime.playout.playout import Playout, open_playout
from realtime.playout.settings import PlayoutStats
from realtime.runlog import RunLog
from realtime.settings import LiveSettings

Tell = Callable[[str], None]
_DAC_PERIOD_HOPS = 64


@dataclass
class Counts:
    """What a run counted."""

    hops: int = 0
    late_hops: int = 0
    not_finite_hops: int = 0


class Service:
    """One live run.

    Parameters
    ----------
    settings : of the session.
    tell : is given one line per change of state.
    """

    def __init__(self, settings: LiveSettings, tell: Tell = lambda line: None) -> None:
        self.settings, self._tell = settings, tell
        self.stop = threading.Event()
        self.counts = Counts()
        self.state = "starting"
        self._muted_hops = 0

    def run(self) -> dict[str, Any]:
        """Decode until stopped; return what `run.json` says at the end.

        Raises
        ------
        SeegvoxError
            Whatever is wrong with bundle, stream, montage, sound or output folder; nothing was
            played then, or, if the stream went away, what was decoded is in the run's folder.
        """
        settings = self.settings
        refuse_busy(settings.out)
        bundle = load_bundle(settings.bundle)
        pipeline = self._ready(bundle)
        self._enter("waiting", f"for the stream ({settings.stream.timeout_s:g} s)")
        with (
            Inlet(
                settings.stream,
                bundle.spec.contacts,
                bundle.spec.fs_hz,
                settings.unit,
                settings.allow_missing,
                start=False,
            ) as inlet,
            self._playing() as playout,
            RunLog(settings.out, self._about(bundle, pipeline, inlet)) as log,
            quiet_process(),
        ):
            return self._decode(inlet, pipeline, playout, log)

    def _ready(self, bundle: Bundle) -> Pipeline:
        pipeline = Pipeline.from_bundle(
            bundle, self.settings.vocoder, self.settings.limiter, now=pylsl.local_clock
        )
        check_golden(Pipeline.from_bundle(bundle), bundle)
        pipeline.warm_up(len(bundle.spec.contacts))
        return pipeline

    @contextmanager
    def _playing(self) -> Iterator[Playout]:
        playout = open_playout(self.settings.playout, pylsl.local_clock)
        # Start-up is muted until the filters and the memory are filled.
        playout.mute(True)
        try:
            yield playout
        finally:
            playout.stop()

    def _decode(
        self, inlet: Inlet, pipeline: Pipeline, playout: Playout, log: RunLog
    ) -> dict[str, Any]:
        hop_s = float(pipeline.clock.hop)
        # What was decoded before the end of the warm-up is heard this much later.
        delay_s = self.settings.playout.target_ms / 1e3
        self._muted_hops = ceil((self.settings.warm_s + delay_s) / hop_s)
        last = ceil(self.settings.seconds / hop_s) if self.settings.seconds else None
        try:
            # Only now: samples that pile up while a sound device opens would all be late.
            inlet.open(self.settings.stream.timeout_s)
            block: Block | None = inlet.wait_first(self.settings.stream.timeout_s)
            self._enter("warming", f"{self.settings.warm_s:g} s, muted", log)
            while not self.stop.is_set() and (last is None or self.counts.hops < last):
                if block is not None:
                    self._step(block, pipeline, playout, log)
                block = inlet.pull()
        finally:
            facts = self._conclude(playout, log)
        return facts

    def _step(self, block: Block, pipeline: Pipeline, playout: Playout, log: RunLog) -> None:
        counts, limit = self.counts, float(pipeline.clock.hop)
        for hop in pipeline.hops(block.samples, block.timestamps, block.available):
            playout.push(hop.audio, hop.index)
            handed_over = pylsl.local_clock()
            late = handed_over - hop.available > limit
            log.hop(hop, handed_over, late)
            counts.hops += 1
            counts.late_hops += late
            counts.not_finite_hops += not hop.finite
            if counts.hops == self._muted_hops:
                playout.mute(False)
                self._enter("decoding", playout.stats().device, log)
            if counts.hops % _DAC_PERIOD_HOPS == 0:
                log.dac_times(playout.drain_dac_times())

    def _conclude(self, playout: Playout, log: RunLog) -> dict[str, Any]:
        # Silence first: the rest may take its time.
        playout.mute(True)
        stats = playout.stats()
        threading.Event().wait(stats.fill_ms / 1e3 + 0.05)
        playout.stop()
        log.dac_times(playout.drain_dac_times())
        self._enter("stopped", f"after {self.counts.hops} hops", log)
        facts = {**vars(self.counts), "playout": _plain(stats), "resident_mb": resident_mb()}
        log.conclude(**facts)
        return facts

    def _enter(self, state: str, why: str, log: RunLog | None = None) -> None:
        self.state = state
        self._tell(f"{state}: {why}")
        if log is not None:
            log.event(state, pylsl.local_clock(), why=why)

    def _about(self, bundle: Bundle, pipeline: Pipeline, inlet: Inlet) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(mode="json"),
            "bundle_sha256": bundle.hash,
            "stream": vars(inlet.description),
            "extra_contacts": inlet.match.extra,
            "given_up_contacts": inlet.match.missing,
            "lookahead_ms": 1e3 * float(pipeline.latency),
            "environment": environment(),
        }


def _plain(stats: PlayoutStats) -> dict[str, Any]:
    return {
        k: (None if isinstance(v, float) and np.isnan(v) else v) for k, v in vars(stats).items()
    }


@contextmanager
def quiet_process() -> Iterator[None]:
    """What the hop path runs under: no garbage collection, and no BLAS threads.

    What exists is frozen, and no cycles arise per hop. Products of 80 x 361 gain nothing from a
    second thread, which spins on the core that playout needs.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        gc.enable()
        gc.unfreeze()


@contextmanager
def stopped_by_signals(service: Service) -> Iterator[None]:
    """SIGINT and SIGTERM end the run as if its time were over."""
    before = {
        number: signal.signal(number, lambda *_: service.stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
