"""The live service: pull, step, push, until told to stop.

waiting -> warming (muted) -> decoding -> stopped. One thread carries a hop from the inlet to
playout; what it tells goes through a queue, and nothing on its way waits for a file.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import pylsl

from models.bundle import Bundle, load_bundle
from models.files import refuse_busy
from realtime.clock_correction import SenderClock
from realtime.environment import environment, process_age_s, resident_mb
from realtime.gaps import GapCounter
from realtime.golden import check_golden
from realtime.inlet import Block, Inlet
from realtime.lsl_config import quieten
from realtime.pipeline import Pipeline
from realtime.playout.playout import Playout, open_playout
from realtime.playout.settings import PlayoutStats
from realtime.runlog import RunLog
from realtime.scheduling import Granted, quiet_process
from realtime.settings import LiveSettings
from realtime.watch import Watch

Tell = Callable[[str], None]


@dataclass
class Counts:
    """What a run counted."""

    hops: int = 0
    late_hops: int = 0
    not_finite_hops: int = 0
    lost_samples: int = 0


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
        self.playout: Playout | None = None
        """The playout of the run under way."""
        self._logging = False
        self._muted_hops, self._first_hop_s = 0, float("nan")

    def run(self) -> dict[str, Any]:
        """Decode until stopped; return what `run.json` says at the end.

        Raises
        ------
        SeegvoxError
            Whatever is wrong with bundle, stream, montage, sound or output folder; nothing was
            played then, or, if the stream went away, what was decoded is in the run's folder.
        """
        settings = self.settings
        quieten()
        refuse_busy(settings.out)
        bundle = load_bundle(settings.bundle)
        pipeline = self._ready(bundle)
        self._enter("waiting", f"for the stream ({settings.stream.timeout_s:g} s)")
        try:
            return self._listen(bundle, pipeline)
        except BaseException:
            if self._logging and not self.counts.hops:
                self._leave_nothing()
            raise

    def _listen(self, bundle: Bundle, pipeline: Pipeline) -> dict[str, Any]:
        settings = self.settings
        with (
            # First, since threads inherit the priority of the one that starts them.
            quiet_process() as granted,
            Inlet(
                settings.stream,
                bundle.spec.contacts,
                bundle.spec.fs_hz,
                settings.unit,
                settings.allow_missing,
                start=False,
            ) as inlet,
            self._playing() as playout,
            RunLog(settings.out, self._about(bundle, pipeline, inlet, granted)) as log,
            SenderClock(inlet) as self._clock,
            Watch(playout, log, self._tell) as watch,
        ):
            self._logging = True
            return self._decode(inlet, pipeline, playout, log, watch)

    def _leave_nothing(self) -> None:
        """A run without a hop must not stand in the way of the next try."""
        shutil.rmtree(self.settings.out, ignore_errors=True)
        if self.settings.playout.wav is not None:
            self.settings.playout.wav.unlink(missing_ok=True)

    def _ready(self, bundle: Bundle) -> Pipeline:
        pipeline = Pipeline.from_bundle(
            bundle, self.settings.vocoder, self.settings.limiter, now=pylsl.local_clock
        )
        default = self.settings.vocoder == "phase"
        check_golden(pipeline if default else Pipeline.from_bundle(bundle), bundle)
        pipeline.warm_up(len(bundle.spec.contacts))
        return pipeline

    @contextmanager
    def _playing(self) -> Iterator[Playout]:
        playout = self.playout = open_playout(self.settings.playout, pylsl.local_clock)
        # Start-up is muted until the filters and the memory are filled.
        playout.mute(True)
        try:
            yield playout
        finally:
            playout.stop()

    def _decode(
        self, inlet: Inlet, pipeline: Pipeline, playout: Playout, log: RunLog, watch: Watch
    ) -> dict[str, Any]:
        settings, hop_s = self.settings, float(pipeline.clock.hop)
        # What was decoded before the end of the warm-up is heard this much later.
        delay_s = settings.playout.target_ms / 1e3
        self._muted_hops = ceil((settings.warm_s + delay_s) / hop_s)
        last = ceil(settings.seconds / hop_s) if settings.seconds else None
        gaps = GapCounter(pipeline.clock.fs)
        try:
            # Only now: samples that pile up while a sound device opens would all be late.
            inlet.open(settings.stream.timeout_s)
            block: Block | None = inlet.wait_first(settings.stream.timeout_s)
            self._enter("warming", f"{settings.warm_s:g} s, muted", log)
            while not self.stop.is_set() and (last is None or self.counts.hops < last):
                if block is not None:
                    self._step(block, pipeline, playout, log)
                    gaps.update(len(block.samples), float(block.timestamps[-1]))
                block = inlet.pull()
        finally:
            self.counts.lost_samples = gaps.lost
            facts = self._conclude(playout, log, watch)
        return facts

    def _step(self, block: Block, pipeline: Pipeline, playout: Playout, log: RunLog) -> None:
        counts, limit = self.counts, float(pipeline.clock.hop)
        for hop in pipeline.hops(block.samples, block.timestamps, block.available):
            playout.push(hop.audio, hop.index)
            handed_over = pylsl.local_clock()
            late = handed_over - hop.available > limit
            log.hop(hop, handed_over, self._clock.offset_s, late)
            counts.hops += 1
            counts.late_hops += late
            counts.not_finite_hops += not hop.finite
            if counts.hops == 1:
                self._first_hop_s = process_age_s()
            if counts.hops == self._muted_hops:
                playout.mute(False)
                self._enter("decoding", playout.stats().device, log)

    def _conclude(self, playout: Playout, log: RunLog, watch: Watch) -> dict[str, Any]:
        # Silence first: the rest may take its time.
        playout.mute(True)
        watch.stop()
        stats = playout.stats()
        if stats.alive:
            # The fill of a player that is gone says nothing.
            time.sleep(min(stats.fill_ms / 1e3, 1.0) + 0.05)
        playout.stop()
        log.dac_times(playout.drain_dac_times())
        self._enter("stopped", f"after {self.counts.hops} hops", log)
        facts = {
            **vars(self.counts),
            "playout": _plain(stats),
            "sound_losses": watch.sound_losses,
            "first_hop_s": self._first_hop_s,
            "resident_mb": resident_mb(),
            "resident_mb_every_10_s": watch.resident_mb,
        }
        log.conclude(**facts)
        return facts

    def _enter(self, state: str, why: str, log: RunLog | None = None) -> None:
        self.state = state
        self._tell(f"{state}: {why}")
        if log is not None:
            log.event(state, pylsl.local_clock(), why=why)

    def _about(
        self, bundle: Bundle, pipeline: Pipeline, inlet: Inlet, granted: Granted
    ) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(mode="json"),
            "bundle_sha256": bundle.hash,
            "stream": vars(inlet.description),
            "extra_contacts": inlet.match.extra,
            "given_up_contacts": inlet.match.missing,
            "lookahead_ms": 1e3 * float(pipeline.latency),
            **vars(granted),
            "environment": environment(),
        }


def _plain(stats: PlayoutStats) -> dict[str, Any]:
    return {
        k: (None if isinstance(v, float) and np.isnan(v) else v) for k, v in vars(stats).items()
    }


@contextmanager
def stopped_by_signals(service: Service) -> Iterator[None]:
    """SIGINT and SIGTERM end a run as if its time were over; before there is one, at once."""

    def stop(*_: object) -> None:
        service.stop.set()
        if service.state in ("starting", "waiting"):
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
