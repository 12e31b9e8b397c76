"""Markers from any LSL marker stream, found whenever it appears, with corrected timestamps.

A marker stream has no regular rate, and either carries text or says that it is of a marker's type.
Each is pulled in a thread of its own: opening one that does not answer must not delay the others.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import pylsl
from pylsl.util import InternalError
from pylsl.util import TimeoutError as LslTimeoutError

from realtime.own_clock import offset_from

TYPES = ("markers", "marker", "events", "event", "triggers", "trigger", "stim")
_LOOK_S, _PULL_S = 0.25, 0.1
# Of the sender's clock: a first answer takes 0.6 s.
_FIRST_S, _ASK_AGAIN_S, _ASK_EVERY_S = 1.0, 1.0, 5.0
_MOST_STREAMS = 64
_AGAIN_S = 6.0

Line = tuple[str, dict[str, Any]]
"""Table (`markers`, `marker_streams` or `events`) and what is to become a line of it."""


def is_marker_stream(info: pylsl.StreamInfo) -> bool:
    """Whether a stream carries markers."""
    if info.nominal_srate() != pylsl.IRREGULAR_RATE:
        return False
    return info.channel_format() == pylsl.cf_string or info.type().casefold() in TYPES


class MarkerStreams:
    """Looks for marker streams until `stop`; what came is in `lines`.

    Parameters
    ----------
    own : source ids that are not recorded: what this very session sends.
    """

    def __init__(self, own: Collection[str] = ()) -> None:
        self._own = set(own)
        self._stop = threading.Event()
        self._seen: dict[str, threading.Thread] = {}
        self._count = 0
        self.lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._look, name="marker streams", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; pulls once more what had arrived."""
        self._stop.set()
        for thread in (self._thread, *self._seen.values()):
            thread.join(2 * _PULL_S)

    def _look(self) -> None:
        resolver = pylsl.ContinuousResolver()
        while not self._stop.wait(_LOOK_S):
            with suppress(RuntimeError, InternalError):
                for info in resolver.results():
                    if self._is_new(info):
                        self._follow(info)

    def _is_new(self, info: pylsl.StreamInfo) -> bool:
        """Not followed at present: one whose connection broke may live on under the same uid."""
        if info.source_id() in self._own or not is_marker_stream(info):
            return False
        former = self._seen.get(info.uid())
        followed = sum(thread.is_alive() for thread in self._seen.values())
        return (former is None or not former.is_alive()) and followed < _MOST_STREAMS

    def _follow(self, info: pylsl.StreamInfo) -> None:
        number, self._count = self._count, self._count + 1
        thread = threading.Thread(target=self._pull, args=(number, info), daemon=True)
        self._seen[info.uid()] = thread
        self.lines.put(("marker_streams", _said(number, info)))
        thread.start()

    def _pull(self, number: int, info: pylsl.StreamInfo) -> None:
        try:
            # Raw stamps: what LSL would correct silently is recorded beside them.
            inlet = pylsl.StreamInlet(info, 360, 0, recover=False, processing_flags=0)
            inlet.open_stream(5.0)
            clock = _Clock(inlet, info.hostname())
            last = False
            while not last:
                last = self._stop.is_set()
                wait_s = 0.0 if last else _PULL_S
                # As arrays: text comes undecoded, and one odd byte does not end the stream.
                values, stamps = inlet.pull_chunk(wait_s, 1024, as_numpy=True)
                for value, stamp in zip(values.tolist(), stamps.tolist(), strict=True):
                    self.lines.put(("markers", _marker(number, value, stamp, clock.offset_s)))
                clock.refresh()
        except Exception as err:
            # One stream's fault must not end in silence.
            why = str(err) or type(err).__name__
            lost = {"event": "marker stream lost", "time": pylsl.local_clock()}
            self.lines.put(("events", {**lost, "stream": number, "name": info.name(), "why": why}))
            # What is dead is still found for some seconds.
            self._stop.wait(_AGAIN_S)


class _Clock:
    """Seconds to add to a sender's stamps; None while its clock has not answered."""

    def __init__(self, inlet: pylsl.StreamInlet, hostname: str) -> None:
        self._inlet, self._hostname = inlet, hostname
        self._measured_s: float | None = None
        self._next = float("-inf")
        if self.offset_s is None:
            self._ask(_FIRST_S)

    @property
    def offset_s(self) -> float | None:
        return offset_from(self._hostname, self._measured_s)

    def refresh(self) -> None:
        if pylsl.local_clock() >= self._next:
            self._ask(0.1)

    def _ask(self, timeout_s: float) -> None:
        # Once it has answered, liblsl asks on by itself and this returns at once.
        with suppress(LslTimeoutError):
            self._measured_s = float(self._inlet.time_correction(timeout_s))
        every_s = _ASK_AGAIN_S if self._measured_s is None else _ASK_EVERY_S
        self._next = pylsl.local_clock() + every_s


def _marker(number: int, values: Any, stamp: float, offset_s: float | None) -> dict[str, Any]:
    return {
        "time": None if offset_s is None else stamp + offset_s,
        "stamp": stamp,
        "correction_s": offset_s,
        "stream": number,
        "values": [_text(v) if isinstance(v, bytes) else v for v in values],
    }


def _text(raw: bytes) -> str:
    """Text as sent; bytes that are no UTF-8 stand as U+FFFD."""
    return raw.decode(errors="replace")


def _said(number: int, info: pylsl.StreamInfo) -> dict[str, Any]:
    return {
        "stream": number,
        "name": info.name(),
        "type": info.type(),
        "source_id": info.source_id(),
        "hostname": info.hostname(),
        "uid": info.uid(),
        "channels": info.channel_count(),
        "text": info.channel_format() == pylsl.cf_string,
        "found": pylsl.local_clock(),
    }
