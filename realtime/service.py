"""The live service: from a bundle and a stream to sound, until told to stop.

    inlet -> core -> playout, record, outlets

    parts.py        each part, made from the settings
    Service         opens all parts, tells of events, closes them
    live_loop.py    carries the hops
    conclusion.py   ends it: silence, then the facts
    signals.py      SIGINT and SIGTERM

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
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import pylsl

from models.bundle import Bundle, load_bundle
from models.files import refuse_busy
from realtime import parts
from realtime.calibration.folder import Calibration, chosen
from realtime.clock_correction import SenderClock
from realtime.conclusion import conclude
from realtime.events import Event
from realtime.inlet import Inlet
from realtime.live_loop import HopSink, LiveLoop
from realtime.lsl_config import quieten
from realtime.operator import Operator
from realtime.pipeline import Pipeline
from realtime.playout.playout import Playout
from realtime.record.record import Record
from realtime.scheduling import Granted, quiet_process
from realtime.session_core import SessionCore
from realtime.settings import LiveSettings
from realtime.signals import stopped_by_signals
from realtime.states import STATES
from realtime.status import Status
from realtime.teller import Tell, Teller
from realtime.watch import Watch

__all__ = ["Service", "stopped_by_signals"]


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
        self.record: Record | None = None
        """The record of the run under way."""
        self._teller = Teller(tell)
        self._listeners: list[Callable[[Event], None]] = []
        self._sinks: list[HopSink] = []
        self._core: SessionCore | None = None
        self._loop: LiveLoop | None = None

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Give every event to `listener`, which must not wait."""
        self._listeners.append(listener)

    def on_hop(self, sink: HopSink) -> None:
        """Give every hop to `sink`, which must not wait."""
        self._sinks.append(sink)

    def status(self) -> Status:
        """The session at this moment."""
        loop = self._loop
        return Status(state=self.state) if loop is None else loop.status()

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
        pipeline = parts.ready_pipeline(settings, bundle, calibration)
        # Threads inherit the priority of the one that starts them: none is started before.
        with quiet_process(wanted=settings.scheduling) as granted, self._teller:
            why = f"for the stream ({settings.stream.timeout_s:g} s)"
            self._tell("waiting", why=why)
            try:
                return self._open_all(bundle, calibration, pipeline, granted)
            except BaseException:
                if not (self._loop and self._loop.counts.hops):
                    self._leave_nothing()
                raise

    # --- opening and decoding -----------------------------------------------------------------

    def _open_all(
        self,
        bundle: Bundle,
        calibration: Calibration | None,
        pipeline: Pipeline,
        granted: Granted,
    ) -> dict[str, Any]:
        settings, spec = self.settings, bundle.spec
        open_inlet = parts.inlet_opener(settings, spec)
        with ExitStack() as stack:
            inlet = stack.enter_context(open_inlet(start=False))
            self.playout = playout = stack.enter_context(parts.playing(settings))
            about = parts.about(settings, bundle, calibration, pipeline, inlet, granted)
            record = parts.new_record(settings, spec, about, playout, self._teller.tell)
            self.record = stack.enter_context(record)
            outlets = stack.enter_context(
                parts.new_outlets(settings, bundle, pipeline, inlet, playout, self._outlets_failed)
            )
            self.on_hop(outlets.hop)
            self.on_event(outlets.event)
            if calibration:
                # Not before there is a record, and outlets, to tell it.
                self._tell("calibration", why=calibration.line(), sha256=calibration.hash)
            clock = stack.enter_context(SenderClock(inlet))
            core = parts.new_core(spec, settings, pipeline, inlet.match.missing, self._emit)
            source = parts.new_source(settings, inlet, open_inlet, core, clock)
            stack.callback(source.close)
            self._core = core
            self._loop = loop = LiveLoop(
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
            watch = stack.enter_context(Watch(playout, record.dac_times, self._emit))
            end = partial(conclude, core, loop, playout, record, outlets, watch)
            return self._decode(inlet, loop, end)

    def _decode(
        self, inlet: Inlet, loop: LiveLoop, end: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        timeout_s = self.settings.stream.timeout_s
        # Only now: samples that pile up while a sound device opens would all be late.
        inlet.open(timeout_s)
        first = inlet.wait_first(timeout_s)
        self.running = True
        try:
            loop.run(first)
        finally:
            facts = end()
        return facts

    # --- telling ------------------------------------------------------------------------------

    def _tell(self, kind: str, **details: Any) -> None:
        self._emit(Event(kind, pylsl.local_clock(), details))

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
        self._tell("outlets lost", why=why)

    def _leave_nothing(self) -> None:
        """A run without a hop must not stand in the way of the next try."""
        if self.record is not None:
            shutil.rmtree(self.settings.out, ignore_errors=True)
        if self.playout is not None and self.settings.playout.wav is not None:
            self.settings.playout.wav.unlink(missing_ok=True)
