"""The four streams: mel, audio, telemetry, events; sent by a thread, fed by the hop path."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import pylsl

from models.errors import StreamError
from realtime.events import Event
from realtime.outlets.describe import Source, stream_info
from realtime.outlets.ring import HopRing
from realtime.outlets.settings import KINDS, OutletSettings
from realtime.outlets.telemetry import PLAYOUT_DELAY, UNDERRUNS
from realtime.pipeline import Hop
from realtime.plain import json_line
from realtime.playout.settings import PlayoutStats

PERIOD_S = 0.015
EVENTS_WAITING = 1000
# A consumer that stopped reading costs memory for this long; then it loses the oldest.
_BUFFER_S = 30
# An inlet that does not recover loses what it has not pulled once the outlet is gone; LabRecorder
# pulls every 0.5 s.
_LINGER_S = 0.6


class Outlets:
    """LSL outlets of one session; a context manager, and `hop` and `event` never wait.

    Parameters
    ----------
    settings : which streams.
    source : what the data came from.
    sound : `Playout.stats`, asked by the sending thread; None leaves underruns 0 and delay NaN.
    failed : told once, by that thread, why nothing is sent any more; the session goes on.

    Timestamps are those of the neural data: mel and telemetry bear the LSL time of the hop's last
    neural sample, the hop's 240 audio samples end with it. They are on the local LSL clock (the
    sender's time plus its offset). While that offset is unknown, they are when the hop's samples
    arrived, `clock_known` is 0, and `unknown_clock_hops` counts them.

    Raises
    ------
    StreamError
        If an outlet cannot be made.
    """

    def __init__(
        self,
        settings: OutletSettings,
        source: Source,
        sound: Callable[[], PlayoutStats] | None = None,
        failed: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._sound, self._failed = sound, failed
        self._ring = HopRing()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.event_overruns = 0
        """Events that found no room."""
        self.fault: str | None = None
        """Why nothing is sent any more; None while all is well."""
        self._lsl = {k: _outlet(stream_info(k, settings, source)) for k in settings.streams}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outlets", daemon=True)

    def __enter__(self) -> Outlets:
        if self._lsl:
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._lsl:
            self._thread.join()
            if any(outlet.have_consumers() for outlet in self._lsl.values()):
                time.sleep(_LINGER_S)
        self._lsl = {}

    @property
    def facts(self) -> dict[str, int]:
        """What could not be sent, for the record."""
        return {
            "outlet_overruns": self._ring.overruns,
            "outlet_event_overruns": self.event_overruns,
            "unknown_clock_hops": self._ring.unknown_clock,
        }

    def hop(self, hop: Hop, handed_over: float, clock_offset: float, late: bool) -> None:
        """Send one hop; times in seconds, `clock_offset` is to be added to `hop.lsl_time`."""
        if self._lsl:
            self._ring.put(hop, handed_over, clock_offset, late)

    def event(self, event: Event) -> None:
        """Send an event as a JSON string, `{"event": kind, details}`, stamped with its time."""
        if "events" not in self._lsl:
            return
        if self._events.qsize() >= EVENTS_WAITING:
            self.event_overruns += 1
            return
        self._events.put(event)

    def _run(self) -> None:
        try:
            while not self._stop.wait(PERIOD_S):
                self._send()
            self._send()
        except Exception as err:
            # Nothing that a listener or liblsl does may end the session.
            self.fault = f"{type(err).__name__}: {err}"
            self._failed(self.fault)

    def _send(self) -> None:
        while (slots := self._ring.waiting()).stop > slots.start:
            self._send_hops(slots)
            self._ring.done(slots)
        while not self._events.empty():
            event = self._events.get()
            line = json_line({**event.details, "event": event.kind})
            self._lsl["events"].push_sample([line], event.time)

    def _send_hops(self, slots: slice) -> None:
        ring, lsl = self._ring, self._lsl
        times = ring.times[slots].tolist()
        if "mel" in lsl:
            lsl["mel"].push_chunk(ring.mel[slots], times)
        if "audio" in lsl:
            for audio, stamp in zip(ring.audio[slots], times, strict=True):
                lsl["audio"].push_chunk(audio, stamp)
        if "telemetry" in lsl:
            stats = self._sound() if self._sound else None
            ring.telemetry[slots, UNDERRUNS] = stats.underruns if stats else 0
            ring.telemetry[slots, PLAYOUT_DELAY] = stats.delay_ms if stats else float("nan")
            lsl["telemetry"].push_chunk(ring.telemetry[slots], times)


def _outlet(info: pylsl.StreamInfo) -> pylsl.StreamOutlet:
    try:
        return pylsl.StreamOutlet(info, 0, _BUFFER_S)
    except (RuntimeError, OSError) as err:
        raise StreamError(
            f"the LSL outlet '{info.name()}' cannot be made ({err})",
            "a free port from 16572 on",
            f"close other outlets, or choose fewer of {', '.join(KINDS)} (outlets.streams)",
        ) from err
