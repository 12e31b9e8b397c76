"""The operator's commands from standard input: single keys on a terminal, lines elsewhere.

Keys: m mute, u unmute, + and - gain by 1 dB, n a note (Enter gives it, Escape does not), Q stop.
Lines, from a pipe or where the session's output goes into one: `mute`, `unmute`, `gain -6`,
`note text`, `stop`. The end of the input ends nothing else.

While keys are read, Ctrl-Z and Ctrl-S do nothing: a session must not freeze with sound in the air.
Ctrl-C ends it cleanly, as ever.
"""

from __future__ import annotations

import codecs
import os
import select
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from models.errors import SettingsError
from realtime.limiter import HIGHEST_GAIN_DB, LOWEST_GAIN_DB

GAIN_STEP_DB = 1.0
_ERASE = ("\x7f", "\b")
_SIMPLE = {"m": "mute", "u": "unmute", "Q": "stop"}
_STEPS = {"+": GAIN_STEP_DB, "=": GAIN_STEP_DB, "-": -GAIN_STEP_DB}
_BACKGROUND_S = 1.0

Give = Callable[[str], object]


class Reader(Protocol):
    """Turns what was read into commands."""

    def feed(self, text: str) -> Iterator[str]:
        """The commands that this input completes."""
        ...


class LineReader:
    """Commands as lines; the last may lack its end."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> Iterator[str]:
        """Whole lines that are not blank; an empty `text` is the end of the input."""
        *lines, self._rest = (self._rest + text).split("\n") if text else (self._rest, "")
        yield from (line for line in lines if line.strip())


class KeyReader:
    """Commands as keys.

    Parameters
    ----------
    gain_db : where `+` and `-` begin, dB.
    prompt : shown the note being typed, None when it is done.
    """

    def __init__(
        self, gain_db: float = 0.0, prompt: Callable[[str | None], None] = lambda text: None
    ) -> None:
        self._gain_db, self._prompt = gain_db, prompt
        self._note: str | None = None

    def feed(self, text: str) -> Iterator[str]:
        """Commands of these keys; those without a meaning are ignored."""
        # An arrow or function key comes as Escape and more, in one piece.
        if text.startswith("\x1b") and len(text) > 1:
            return
        for key in text:
            line = self._command(key) if self._note is None else self._typing(key)
            if line is not None:
                yield line

    def _command(self, key: str) -> str | None:
        if key in _STEPS:
            gain_db = self._gain_db + _STEPS[key]
            self._gain_db = min(max(gain_db, LOWEST_GAIN_DB), HIGHEST_GAIN_DB)
            return f"gain {self._gain_db:g}"
        if key == "n":
            self._show("")
        return _SIMPLE.get(key)

    def _typing(self, key: str) -> str | None:
        note = self._note or ""
        if key in "\r\n":
            self._show(None)
            return f"note {note}" if note.strip() else None
        if key == "\x1b":
            self._show(None)
        elif key in _ERASE:
            self._show(note[:-1])
        elif key.isprintable():
            self._show(note + key)
        return None

    def _show(self, note: str | None) -> None:
        self._note = note
        self._prompt(None if note is None else f"note (Enter gives it, Esc does not): {note}")


@contextmanager
def single_keys(fd: int) -> Iterator[None]:
    """Take keys one by one and unseen; the terminal is given back as it was, whatever happens."""
    before = termios.tcgetattr(fd)
    mode = termios.tcgetattr(fd)
    mode[0] &= ~termios.IXON
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    mode[6][termios.VSUSP] = os.fpathconf(fd, "PC_VDISABLE").to_bytes(1, "little")
    with _guarded(fd):
        try:
            termios.tcsetattr(fd, termios.TCSANOW, mode)
            yield
        finally:
            with suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSANOW, before)


@contextmanager
def _guarded(fd: int) -> Iterator[None]:
    """A shell that gives the terminal back if this process dies without a word (kill -9, abort).

    It waits for the end of a pipe that only we hold open. Where an interactive shell has taken the
    terminal back meanwhile, the kernel refuses it the change, and that shell sets its own mode.
    """
    try:
        path = os.ttyname(fd)
        saved = subprocess.run(["stty", "-g"], stdin=fd, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        yield
        return
    script = 'trap \'\' INT QUIT TERM HUP TSTP; read -r _; stty "$1" <"$2"'
    guard = subprocess.Popen(
        ["sh", "-c", script, "sh", saved.stdout.strip(), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        # Before its pipe ends: the terminal may be somebody else's by the time it would act.
        guard.kill()
        guard.wait()
        assert guard.stdin is not None
        guard.stdin.close()


def in_foreground(fd: int) -> bool:
    """Whether this terminal is ours to read: the system stops a background job that tries."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def commands_from(
    fd: int, keys: Reader | None, give: Give, say: Callable[[str], None]
) -> Iterator[None]:
    """Read commands in a thread as long as the context lasts.

    Parameters
    ----------
    fd : standard input's descriptor.
    keys : for single keys, where `fd` is a terminal; None reads lines.
    give : takes a command line; refuses with SettingsError, which `say` is told.
    """
    terminal = os.isatty(fd)
    if terminal and not in_foreground(fd):
        yield
        return
    if terminal and keys is not None:
        with single_keys(fd), _thread(fd, keys, give, say):
            yield
    else:
        with _thread(fd, LineReader(), give, say):
            yield


@contextmanager
def _thread(fd: int, reader: Reader, give: Give, say: Callable[[str], None]) -> Iterator[None]:
    wake, waker = os.pipe()
    thread = threading.Thread(
        target=_read, args=(fd, wake, reader, give, say), name="operator", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        os.write(waker, b".")
        thread.join()
        os.close(wake)
        os.close(waker)


def _read(fd: int, wake: int, reader: Reader, give: Give, say: Callable[[str], None]) -> None:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    while (raw := _next(fd, wake)) is not None:
        text = decode(raw)
        if raw and not text:
            continue  # half a character
        for line in reader.feed(text):
            try:
                give(line)
            except SettingsError as err:
                say(str(err))
        if not raw:
            return


def _next(fd: int, wake: int) -> bytes | None:
    """What comes next, empty at the end of the input; None when woken."""
    while True:
        ready, _, _ = select.select([fd, wake], [], [])
        if wake in ready:
            return None
        if os.isatty(fd) and not in_foreground(fd):
            if select.select([wake], [], [], _BACKGROUND_S)[0]:
                return None
            continue
        try:
            return os.read(fd, 4096)
        except OSError:
            # A terminal that hung up.
            return b""
