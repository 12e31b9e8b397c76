"""The live service: from a bundle and a stream to sound, until told to stop.

    inlet -> core -> playout, record, outlets        live_loop.py carries the hops
    Service                                          opens all parts, tells of events, closes them

What others hang onto it, all before `run`:

    service.operator.give("mute")      any thread; obeyed between two blocks (20 ms at most)
    service.on_event(callback)         `callback(Event)` at once, in the thread where it happened,
                                       usually the hop path: it must not wait
    service.on_hop(sink)               `sink(hop, handed_over, clock_offset, late)` after each
                                       hop's handover, in the hop path: must not wait, and must
                                       copy what it keeps, since the hop is filled again
    service.status()                   any thread: a `Status`
    service.stop.set()                 any thread, also a signal handler: fade out and end

`tell` is given lines in a thread of its own, so it may print to a terminal that stands still.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import pylsl

from models.bundle import Bundle, load_bundle
from models.files import refuse_busy
from models.spec import BundleSpec
from realtime.calibration.folder import Calibration, chosen
from realtime.clock_correction import SenderClock
from realtime.environment import environment, resident_mb
from realtime.events import Event
from realtime.golden import check_golden
from realtime.inlet import Inlet
from realtime.live_loop import HopSink, LiveLoop
from realtime.lsl_config import quieten
from realtime.operator import Operator
from realtime.outlets.describe import Source as OutletSource
from realtime.outlets.outlets import Outlets
from realtime.pipeline import Pipeline
from realtime.playout.playout import Playout, open_playout
from realtime.playout.settings import PlayoutStats
from realtime.record.record import Record
from realtime.scheduling import Granted, quiet_process
from realtime.session_core import SessionCore
from realtime.settings import LiveSettings
from realtime.source import Source
from realtime.states import STATES
from realtime.status import Status
from realtime.teller import Tell, Teller
from realtime.watch import Watch


class Service:
    """One live run.

    Parameters
    ----------
    settings : of the session.
    tell : is given one line per event.
    """

    def __init__(self, settings: LiveSettings, tell: Tell = lambda line: None) -> None:
        self.settings = settings
        self.stop = threading.Event()
        self.operator = Operator()
        """Takes commands from any thread."""
        self.state = "starting"
        self.playout: Playout | None = None
        """The playout of the run under way."""
        self.running = False
        """Whether hops are carried; from then on `stop` ends the run, and nothing else has to."""
        self._teller = Teller(tell)
        self._listeners: list[Callable[[Event], None]] = []
        self._sinks: list[HopSink] = []
        self.record: Record | None = None
        """The record of the run under way."""
        self._core: SessionCore | None = None
        self._loop: LiveLoop | None = None
        self._outlets: Outlets | None = None

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Give every event to `listener`, which must not wait."""
        self._listeners.append(listener)

    def on_hop(self, sink: HopSink) -> None:
        """Give every hop to `sink`, which must not wait."""
        self._sinks.append(sink)

    def status(self) -> Status:
        """The session at this moment."""
        core, loop, playout = self._core, self._loop, self.playout
        if core is None or loop is None or playout is None:
            return Status(state=self.state)
        stats = playout.stats()
        return Status(
            state=core.states.state,
            reason=core.states.why,
            hops=loop.counts.hops,
            hop_p99_ms=loop.times.p99_ms(),
            late_hops=loop.counts.late_hops,
            dropped_hops=loop.counts.dropped_hops,
            underruns=stats.underruns,
            delay_ms=stats.delay_ms,
            masked_contacts=loop.masked,
            gain_db=loop.gain_db,
        )

    def run(self) -> dict[str, Any]:
        """Decode until stopped; return what the record says at the end.

        Raises
        ------
        SeegvoxError
            Whatever is wrong at the start with bundle, stream, montage, sound or output folder;
            nothing was played then. Later only `StreamError`, if the stream stayed away for
            longer than `stream.give_up_s`; what was decoded is in the run's folder.
        """
        settings = self.settings
        quieten()
        refuse_busy(settings.out)
        bundle = load_bundle(settings.bundle)
        calibration = chosen(settings.calibration, bundle)
        pipeline = self._ready(bundle, calibration)
        # Threads inherit the priority of the one that starts them: none is started before.
        with quiet_process(wanted=settings.scheduling) as granted, self._teller:
            self._enter("waiting", f"for the stream ({settings.stream.timeout_s:g} s)")
            try:
                return self._open_all(bundle, calibration, pipeline, granted)
            except BaseException:
                if self.record is not None and not (self._loop and self._loop.counts.hops):
                    self._leave_nothing()
                raise

    # --- opening ------------------------------------------------------------------------------

    def _ready(self, bundle: Bundle, calibration: Calibration | None) -> Pipeline:
        settings = self.settings
        pipeline = Pipeline.from_bundle(
            bundle,
            settings.vocoder,
            settings.limiter,
            now=pylsl.local_clock,
            statistics=calibration.statistics if calibration else None,
        )
        as_proved = settings.vocoder == "phase" and calibration is None
        check_golden(pipeline if as_proved else Pipeline.from_bundle(bundle), bundle)
        pipeline.warm_up(len(bundle.spec.contacts))
        return pipeline

    def _open_all(
        self,
        bundle: Bundle,
        calibration: Calibration | None,
        pipeline: Pipeline,
        granted: Granted,
    ) -> dict[str, Any]:
        settings, spec = self.settings, bundle.spec
        open_inlet = partial(
            Inlet,
            settings.stream,
            spec.contacts,
            spec.fs_hz,
            settings.unit,
            settings.allow_missing,
        )
        with ExitStack() as stack:
            inlet = stack.enter_context(open_inlet(start=False))
            playout = stack.enter_context(self._playing())
            about = self._about(bundle, calibration, pipeline, inlet, granted)
            self.record = record = stack.enter_context(self._recording(about, spec, playout))
            self._open_outlets(stack, bundle, pipeline, inlet, playout)
            if calibration:
                # Not before there is a record, and outlets, to tell it.
                why = {"why": calibration.line(), "sha256": calibration.hash}
                self._emit(Event("calibration", pylsl.local_clock(), why))
            clock = stack.enter_context(SenderClock(inlet))
            core = self._core = self._new_core(bundle, pipeline, inlet)
            source = Source(
                inlet,
                settings.stream,
                lambda found: open_inlet(found=found),
                core,
                clock,
                settings.policy.lost_s,
            )
            stack.callback(source.close)
            self._loop = LiveLoop(
                core,
                source,
                pipeline,
                playout,
                record,
                clock,
                self._sinks,
                self.operator,
                self._emit,
                settings.seconds,
                self.stop,
            )
            watch = stack.enter_context(Watch(playout, _Log(record, self._emit), lambda line: None))
            return self._decode(inlet, watch)

    @contextmanager
    def _playing(self) -> Iterator[Playout]:
        playout = self.playout = open_playout(self.settings.playout, pylsl.local_clock)
        # Start-up is muted until the filters and the memory are filled.
        playout.mute(True)
        try:
            yield playout
        finally:
            playout.stop()

    def _recording(self, about: dict[str, Any], spec: BundleSpec, playout: Playout) -> Record:
        settings = self.settings
        return Record(
            settings.out,
            about,
            spec.contacts,
            float(spec.fs_hz),
            playout.descriptor,
            settings.outlets.source_ids,
            tell=self._teller.tell,
        )

    def _open_outlets(
        self, stack: ExitStack, bundle: Bundle, pipeline: Pipeline, inlet: Inlet, playout: Playout
    ) -> None:
        stream = inlet.description
        source = OutletSource(
            bundle.spec.name,
            bundle.hash,
            stream.name,
            stream.source_id,
            stream.uid,
            float(pipeline.latency),
        )
        outlets = stack.enter_context(
            Outlets(self.settings.outlets, source, playout.stats, self._outlets_failed)
        )
        self._outlets = outlets
        self.on_hop(outlets.hop)
        self.on_event(outlets.event)

    def _new_core(self, bundle: Bundle, pipeline: Pipeline, inlet: Inlet) -> SessionCore:
        spec, settings = bundle.spec, self.settings
        given_up = {*spec.front_end.bad_contacts, *inlet.match.missing}
        return SessionCore(
            pipeline,
            spec.contacts,
            settings.warm_s,
            settings.policy,
            self._emit,
            settings.playout.target_ms / 1e3,
            np.array([contact in given_up for contact in spec.contacts]),
            spec.front_end.line_hz or 50.0,
        )

    # --- decoding -----------------------------------------------------------------------------

    def _decode(self, inlet: Inlet, watch: Watch) -> dict[str, Any]:
        assert self._loop is not None
        timeout_s = self.settings.stream.timeout_s
        # Only now: samples that pile up while a sound device opens would all be late.
        inlet.open(timeout_s)
        first = inlet.wait_first(timeout_s)
        self.running = True
        try:
            self._loop.run(first)
        finally:
            facts = self._conclude(watch)
        return facts

    def _conclude(self, watch: Watch) -> dict[str, Any]:
        core, loop, playout, record = self._core, self._loop, self.playout, self.record
        assert core is not None and loop is not None
        assert playout is not None and record is not None
        # Silence first: the rest may take its time.
        playout.mute(True)
        watch.stop()
        stats = playout.stats()
        if stats.alive:
            # The fill of a player that is gone says nothing.
            time.sleep(min(stats.fill_ms / 1e3, 1.0) + 0.05)
        playout.stop()
        record.dac_times(playout.drain_dac_times())
        core.stop(f"after {loop.counts.hops} hops", pylsl.local_clock())
        facts = {
            **vars(loop.counts),
            **vars(core.counts),
            **(self._outlets.facts if self._outlets else {}),
            "odd_stamps": core.odd_stamps,
            "burst_ms": round(1e3 * core.burst_s, 2),
            "stream_returns": loop.source.returns,
            "playout": _plain(stats),
            "sound_losses": watch.sound_losses,
            "first_hop_s": loop.first_hop_s,
            "resident_mb": resident_mb(),
            "resident_mb_every_10_s": watch.resident_mb,
        }
        record.conclude(**facts)
        return facts

    # --- telling ------------------------------------------------------------------------------

    def _enter(self, state: str, why: str) -> None:
        self._emit(Event(state, pylsl.local_clock(), {"why": why}))

    def _emit(self, event: Event) -> None:
        """Give an event to record, listeners and `tell`; nothing here waits."""
        if event.kind in STATES:
            self.state = event.kind
            if self.playout is not None and self._core is not None:
                self.playout.mute(not self._core.states.audible)
        if self.record is not None:
            self.record.event(event.kind, event.time, **event.details)
        for listener in self._listeners:
            listener(event)
        self._teller.event(event)

    def _outlets_failed(self, why: str) -> None:
        self._emit(Event("outlets lost", pylsl.local_clock(), {"why": why}))

    def _leave_nothing(self) -> None:
        """A run without a hop must not stand in the way of the next try."""
        shutil.rmtree(self.settings.out, ignore_errors=True)
        if self.settings.playout.wav is not None:
            self.settings.playout.wav.unlink(missing_ok=True)

    def _about(
        self,
        bundle: Bundle,
        calibration: Calibration | None,
        pipeline: Pipeline,
        inlet: Inlet,
        granted: Granted,
    ) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(mode="json"),
            "bundle_sha256": bundle.hash,
            "calibration": calibration.facts() if calibration else None,
            "stream": vars(inlet.description),
            "extra_contacts": inlet.match.extra,
            "given_up_contacts": inlet.match.missing,
            "lookahead_ms": 1e3 * float(pipeline.latency),
            **vars(granted),
            "environment": environment(),
        }


class _Log:
    """The record as `Watch` sees it: its events go the way of all others."""

    def __init__(self, record: Record, emit: Callable[[Event], None]) -> None:
        self._record, self._emit = record, emit
        self.dac_times = record.dac_times

    @property
    def fault(self) -> str | None:
        """Why nothing is written any more."""
        return self._record.fault

    def event(self, kind: str, lsl_time: float, **details: Any) -> None:
        """Take an event."""
        self._emit(Event(kind, lsl_time, details))


def _plain(stats: PlayoutStats) -> dict[str, Any]:
    return {
        k: (None if isinstance(v, float) and np.isnan(v) else v) for k, v in vars(stats).items()
    }


@contextmanager
def stopped_by_signals(service: Service) -> Iterator[None]:
    """SIGINT and SIGTERM end a run as if its time were over; before there is one, at once."""

    def stop(*_: object) -> None:
        service.stop.set()
        if not service.running:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
