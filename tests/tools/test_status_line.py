"""What a session shows, on a terminal, into a file, and for scripts."""

from __future__ import annotations

import io
import json
import threading
import time

import pytest

from realtime.events import Event
from realtime.status import Status
from tools.status_line import (
    Display,
    JsonScreen,
    PlainScreen,
    TtyScreen,
    event_text,
    status_text,
)

GOOD = Status("decoding", "", 900, 3.44, 1, 2, 3, 47.6, 4, -6.0)


def test_texts() -> None:
    assert status_text(GOOD) == (
        "decoding | hop p99 3.4 ms | late 1 | dropped 2 | underruns 3 | delay 48 ms | masked 4 "
        "| gain -6 dB"
    )
    assert status_text(Status("muted", "stalled")).startswith("muted (stalled) | hop p99 - ms")
    assert event_text(Event("stopped", 1.0)) == "stopped"
    assert event_text(Event("muted", 1.0, {"why": "no data", "reasons": ["x"]})) == "muted: no data"
    assert event_text(Event("lost", 1.0, {"samples": 5, "total": 7})) == "lost: samples 5, total 7"


def last_line(written: str) -> str:
    return written.rpartition("\x1b[K")[2]


def test_a_terminal_keeps_the_status_in_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    screen = TtyScreen(out)
    screen.status(GOOD)
    assert last_line(out.getvalue()) == status_text(GOOD)[:39]
    screen.event(Event("warming", 0.0, {"why": "1 s"}))
    assert "warming: 1 s\n" in out.getvalue()
    assert last_line(out.getvalue()) == status_text(GOOD)[:39]
    screen.prompt("note: " + "x" * 50 + "end")
    # A status that comes meanwhile does not take the place of what is typed.
    screen.status(Status())
    assert last_line(out.getvalue()).endswith("xend")
    assert len(last_line(out.getvalue())) == 39
    screen.prompt(None)
    assert last_line(out.getvalue()).startswith("starting")
    screen.close()
    assert last_line(out.getvalue()) == ""


def test_plain_lines_come_when_something_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    out, now = io.StringIO(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    screen = PlainScreen(out, every_s=30.0)
    screen.status(GOOD)
    for delay in range(10):
        screen.status(Status(**{**vars(GOOD), "delay_ms": 40.0 + delay, "hops": delay}))
    assert out.getvalue().count("status:") == 1
    screen.status(Status(**{**vars(GOOD), "late_hops": 2}))
    assert out.getvalue().count("status:") == 2
    now[0] = 31.0
    screen.status(Status(**{**vars(GOOD), "late_hops": 2}))
    assert out.getvalue().count("status:") == 3
    assert "\x1b" not in out.getvalue()


def test_scripts_get_an_object_a_line() -> None:
    out = io.StringIO()
    with Display(JsonScreen(out), Status) as display:
        display.event(Event("note", 12.5, {"text": "a\nb"}))
        display.say("refused")
        display.prompt("nobody sees this")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {"type": "event", "event": "note", "lsl_time": 12.5, "text": "a\nb"} in lines
    assert {"type": "message", "text": "refused"} in lines
    # The last word is how it stood at the end; what is not known is null.
    assert lines[-1]["type"] == "status"
    assert lines[-1]["hop_p99_ms"] is None
    assert lines[-1]["state"] == "starting"


def test_what_was_told_before_the_end_is_shown() -> None:
    out = io.StringIO()
    with Display(PlainScreen(out)) as display:
        for number in range(500):
            display.event(Event("lost", 0.0, {"n": number}))
    assert out.getvalue().splitlines() == [f"lost: n {n}" for n in range(500)]


class Hanging(io.StringIO):
    """A terminal that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.go.wait()
        return super().write(text)


def test_a_terminal_that_hangs_holds_nobody_up() -> None:
    out = Hanging()
    display = Display(PlainScreen(out))
    with display:
        # More than the queue takes: were it to wait, this would never end.
        for number in range(5000):
            display.event(Event("lost", 0.0, {"n": number}))
        out.go.set()
    shown = out.getvalue().splitlines()
    assert len(shown) in (1001, 1002)
    assert shown[:1000] == [f"lost: n {n}" for n in range(1000)]
    assert shown[-1] == f"{5000 - len(shown) + 1} lines could not be shown; the record has them"


def test_a_closed_pipe_ends_the_display_only() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with Display(JsonScreen(Closed()), Status) as display:
        display._thread.join(5)
        assert not display._thread.is_alive()
        display.event(Event("note", 0.0))
