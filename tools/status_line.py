"""What a running session shows: one line kept up to date, plain lines, or JSON for scripts.

A thread of its own writes; whoever tells it something never waits for a slow terminal.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import isnan
from typing import Any, Protocol, TextIO

from realtime.events import Event
from realtime.plain import json_line
from realtime.status import Status

KEYS = "keys: m mute, u unmute, + - gain, n note, Q stop"
PLAIN_EVERY_S = 30.0
_WAITING_AT_MOST = 1000
_CLOSE_S = 2.0


def event_text(event: Event) -> str:
    """`kind: why`, or `kind: key value, key value`, as far as there are such."""
    said = {"": event.details["why"]} if "why" in event.details else event.details
    told = ", ".join(f"{key} {value}".strip() for key, value in said.items())
    return f"{event.kind}: {told}" if told else event.kind


def status_text(status: Status) -> str:
    """One line of a status; what is not known yet is a dash."""
    reason = f" ({status.reason})" if status.reason else ""
    parts = [
        f"{status.state}{reason}",
        f"hop p99 {_number(status.hop_p99_ms, 1)} ms",
        f"late {status.late_hops}",
        f"dropped {status.dropped_hops}",
        f"underruns {status.underruns}",
        f"delay {_number(status.delay_ms, 0)} ms",
        f"masked {status.masked_contacts}",
    ]
    if status.gain_db:
        parts.append(f"gain {status.gain_db:+g} dB")
    return " | ".join(parts)


def _number(value: float, digits: int) -> str:
    return "-" if isnan(value) else f"{value:.{digits}f}"


class Screen(Protocol):
    """Where a session shows; every call may fail with OSError."""

    period_s: float
    """How often it wants a status, seconds."""

    def event(self, event: Event) -> None:
        """Show something that happened."""
        ...

    def say(self, line: str) -> None:
        """Show an answer to the operator."""
        ...

    def status(self, status: Status) -> None:
        """Show how it stands."""
        ...

    def prompt(self, text: str | None) -> None:
        """Show what the operator is typing, in place of the status; None ends it."""
        ...

    def close(self) -> None:
        """Leave the place tidy."""
        ...


class TtyScreen:
    """A terminal: the last line is rewritten, everything else scrolls above it."""

    period_s = 0.5

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._line, self._typed = "", None

    _typed: str | None

    def event(self, event: Event) -> None:
        """A line above the status, with the time of day."""
        self.say(f"{time.strftime('%H:%M:%S')} {event_text(event)}")

    def say(self, line: str) -> None:
        """A line above the status."""
        self._out.write(f"\r\x1b[K{line}\n")
        self._draw()

    def status(self, status: Status) -> None:
        """Rewrite the last line, if it is another."""
        line = f"{status_text(status)} | {KEYS}"
        if line != self._line:
            self._line = line
            self._draw()

    def prompt(self, text: str | None) -> None:
        """Show what is typed in the last line."""
        self._typed = text
        self._draw()

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        # Of what is typed, the end is where the eye is.
        shown = self._line[:width] if self._typed is None else self._typed[-width:]
        self._out.write(f"\r\x1b[K{shown}")
        self._out.flush()

    def close(self) -> None:
        """Take the last line away."""
        self._line, self._typed = "", None
        self._draw()


class PlainScreen:
    """A file or a pipe: events as lines, a status when a count changed, else every 30 s."""

    period_s = 1.0

    def __init__(self, out: TextIO, every_s: float = PLAIN_EVERY_S) -> None:
        self._out, self._every_s = out, every_s
        self._told: tuple[object, ...] | None = None
        self._when = float("-inf")

    def event(self, event: Event) -> None:
        """One line."""
        self.say(event_text(event))

    def say(self, line: str) -> None:
        """One line."""
        self._out.write(f"{line}\n")
        self._out.flush()

    def status(self, status: Status) -> None:
        """One line, if there is something new in it or the last was long ago; none before hops."""
        if not status.hops:
            return
        told = (
            *(status.state, status.reason, status.late_hops, status.dropped_hops),
            *(status.underruns, status.masked_contacts, status.gain_db),
        )
        if told != self._told or time.monotonic() - self._when >= self._every_s:
            self._told, self._when = told, time.monotonic()
            self.say(f"status: {status_text(status)}")

    def prompt(self, text: str | None) -> None:
        """Nobody types here."""

    def close(self) -> None:
        """Nothing to tidy."""


class JsonScreen:
    """One JSON object a line: every event, and every second the status."""

    period_s = 1.0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def event(self, event: Event) -> None:
        """`{"type": "event", "event": kind, "lsl_time": ..., details}`."""
        self.write("event", {**event.details, "event": event.kind, "lsl_time": event.time})

    def say(self, line: str) -> None:
        """`{"type": "message", "text": line}`."""
        self.write("message", {"text": line})

    def status(self, status: Status) -> None:
        """`{"type": "status", "state": ..., "hop_p99_ms": ...}`; null is not known yet."""
        self.write("status", vars(status))

    def write(self, kind: str, content: Mapping[str, Any]) -> None:
        """One object."""
        self._out.write(json_line({"type": kind, **content}) + "\n")
        self._out.flush()

    def prompt(self, text: str | None) -> None:
        """Nobody types here."""

    def close(self) -> None:
        """Nothing to tidy."""


class Display:
    """A thread that writes to a screen; a context manager.

    Parameters
    ----------
    screen : where to.
    status : asked every `screen.period_s` by this thread; None shows none.

    `event`, `say` and `prompt` may be called from any thread, the hop path's too: they only append
    to a queue, which forgets what a screen that hangs cannot take. A screen that is gone (a closed
    pipe) ends the display, not the session.
    """

    def __init__(self, screen: Screen, status: Callable[[], Status] | None = None) -> None:
        self._screen = screen
        self.status = status
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)
        self._unshown = 0

    def __enter__(self) -> Display:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._queue.put(None)
        # A terminal that hangs is left behind.
        self._thread.join(_CLOSE_S)

    def event(self, event: Event) -> None:
        """Show an event."""
        self._put(lambda: self._screen.event(event))

    def say(self, line: str) -> None:
        """Show a line."""
        self._put(lambda: self._screen.say(line))

    def prompt(self, text: str | None) -> None:
        """Show what is being typed; None goes back to the status."""
        self._put(lambda: self._screen.prompt(text))

    def _put(self, action: Callable[[], None]) -> None:
        if self._queue.qsize() < _WAITING_AT_MOST:
            self._queue.put(action)
        else:
            self._unshown += 1

    def _run(self) -> None:
        with suppress(OSError, ValueError):
            due = time.monotonic()
            while self._take(due - time.monotonic()):
                if time.monotonic() >= due:
                    self._show_status()
                    due = time.monotonic() + self._screen.period_s
            self._show_status()
            self._screen.close()
            if self._unshown:
                self._screen.say(f"{self._unshown} lines could not be shown; the record has them")

    def _take(self, wait_s: float) -> bool:
        """Do what comes within `wait_s`, at most one thing; False when it is time to end."""
        try:
            action = self._queue.get(timeout=max(0.0, wait_s))
        except queue.Empty:
            return True
        if action is None:
            return False
        action()
        return True

    def _show_status(self) -> None:
        if self.status is not None:
            self._screen.status(self.status())
