"""The operator's keys and lines, on a real pseudo-terminal; it is given back as it was."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.errors import SettingsError
from tools.terminal import KeyReader, LineReader, commands_from

ROOT = Path(__file__).resolve().parents[2]


def keys(*pieces: str, gain_db: float = 0.0) -> list[str]:
    reader = KeyReader(gain_db)
    return [line for piece in pieces for line in reader.feed(piece)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (("m", "u"), ["mute", "unmute"]),
        (("mu",), ["mute", "unmute"]),
        (("+", "+", "-"), ["gain 1", "gain 2", "gain 1"]),
        (("q", "M", "x", "\r", "é"), []),
        (("Q",), ["stop"]),
        (("n", "héllo m", "\n", "m"), ["note héllo m", "mute"]),
        (("n", "abc", "\x7f\x7f", "d\r"), ["note ad"]),
        (("n", "\x7f", "\r"), []),
        (("n", "abc", "\x1b", "m"), ["mute"]),
        # Arrow up, outside and within a note.
        (("\x1b[A", "n", "a", "\x1b[A", "b", "\r"), ["note ab"]),
    ],
)
def test_keys(pieces: tuple[str, ...], expected: list[str]) -> None:
    assert keys(*pieces) == expected


def test_gain_begins_where_it_is_and_ends_at_the_limits() -> None:
    assert keys("+", "+", gain_db=19.5) == ["gain 20", "gain 20"]
    assert keys("-", gain_db=-60.0) == ["gain -60"]


def test_the_note_is_shown_while_it_is_typed() -> None:
    shown: list[str | None] = []
    list(KeyReader(prompt=shown.append).feed("nab\r"))
    assert [text and text.rpartition(": ")[2] for text in shown] == ["", "a", "ab", None]


def test_lines_in_any_pieces() -> None:
    reader = LineReader()
    fed = [
        line
        for text in ("mu", "te\n\n  \ngain", " -6\r\nno", "te x", "")
        for line in reader.feed(text)
    ]
    assert [line.strip() for line in fed] == ["mute", "gain -6", "note x"]


def test_a_pipe_gives_lines_and_its_end_ends_nothing() -> None:
    ours, theirs = os.pipe()
    given: list[str] = []
    said: list[str] = []
    three = threading.Event()

    def give(line: str) -> None:
        given.append(line)
        if len(given) == 3:
            three.set()
        if line == "louder":
            raise SettingsError("no command")

    with commands_from(ours, None, give, said.append):
        os.write(theirs, b"mute\nlouder\nnote caf\xc3")
        os.write(theirs, b"\xa9")
        os.close(theirs)
        assert three.wait(5)
    assert given == ["mute", "louder", "note café"]
    assert said == ["no command"]
    os.close(ours)


CHILD = """
import os, signal, sys, threading, time
from tools.terminal import KeyReader, commands_from

stop = threading.Event()
signal.signal(signal.SIGINT, lambda *_: stop.set())

def give(line):
    print(f"<{line}>", flush=True)
    if line == "mute":
        raise_in_main.set()
    if line == "stop":
        stop.set()

raise_in_main = threading.Event()
with commands_from(0, KeyReader(), give, print):
    print("<ready>", flush=True)
    while not stop.wait(0.01):
        if raise_in_main.is_set():
            CRASH
print("<ended>", flush=True)
"""


@dataclass
class Terminal:
    """A child in the foreground of a terminal of its own."""

    fd: int
    process: subprocess.Popen[bytes]
    seen: str = ""

    def until(self, text: str) -> None:
        """Read what the child writes until it has written this."""
        end = time.monotonic() + 20
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            try:
                self.seen += os.read(self.fd, 4096).decode()
            except OSError:
                raise AssertionError(f"ended: {self.seen!r}") from None

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def mode(self) -> list:
        return termios.tcgetattr(self.fd)


def spawn(crash: str = "pass") -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    # A session of its own, with the terminal as its controlling one: in the foreground.
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD.replace("CRASH", crash)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0),
    )
    # Our end stays open, so that the terminal outlives the child and can be looked at.
    try:
        yield Terminal(ours, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(5)
        os.close(ours)
        os.close(theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    yield from spawn()


def test_keys_on_a_terminal_and_ctrl_c_ends_cleanly(terminal: Terminal) -> None:
    before = terminal.mode()
    terminal.until("<ready>")
    during = terminal.mode()
    assert not during[3] & (termios.ICANON | termios.ECHO)
    assert during[3] & termios.ISIG
    terminal.type("+")
    terminal.until("<gain 1>")
    terminal.type("nout of bed\r")
    terminal.until("<note out of bed>")
    # Suspending, or stopping the terminal's output, would freeze a session with sound in the air.
    terminal.type("\x1a\x13u")
    terminal.until("<unmute>")
    terminal.type("\x03")
    terminal.until("<ended>")
    assert terminal.process.wait(5) == 0
    assert terminal.mode() == before
    # Nothing that was typed was echoed.
    assert "out of bed\r" not in terminal.seen.replace("<note out of bed>", "")


@pytest.mark.parametrize(
    ("crash", "status"),
    [
        ("raise RuntimeError('crash')", 1),
        ("sys.exit(3)", 3),
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os._exit(4)", 4),
    ],
)
def test_the_terminal_is_given_back_after_any_end(crash: str, status: int) -> None:
    for terminal in spawn(crash):
        before = terminal.mode()
        terminal.until("<ready>")
        assert terminal.mode() != before
        terminal.type("m")
        assert terminal.process.wait(10) == status
        # After the hard ends it is the guard that does it, a moment later.
        end = time.monotonic() + 5
        while terminal.mode() != before and time.monotonic() < end:
            time.sleep(0.01)
        assert terminal.mode() == before


def test_a_background_job_leaves_the_terminal_alone() -> None:
    """Where it is not ours to read, the system would stop whoever tries."""
    ours, theirs = pty.openpty()
    with commands_from(theirs, KeyReader(), lambda line: None, print):
        # This test's own process group is never in the foreground of that terminal.
        assert termios.tcgetattr(theirs)[3] & termios.ICANON
    os.close(ours)
    os.close(theirs)
