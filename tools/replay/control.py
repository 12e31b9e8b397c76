"""Pause and stop, from the keyboard or a signal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tools.terminal import commands_from, in_foreground

KEYS = "space: pause, q: stop"
_COMMANDS = {" ": "pause", "q": "stop", "Q": "stop"}


class Control:
    """What the player obeys; any thread may call it.

    `wake` is set as long as the player must not go on; `stopped` ends it.
    """

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.stopped = False
        self._resumed = threading.Event()
        self._resumed.set()

    @property
    def paused(self) -> bool:
        """Whether it pauses."""
        return not self._resumed.is_set()

    def stop(self) -> None:
        """End, at once and for good."""
        self.stopped = True
        self.wake.set()
        self._resumed.set()

    def pause(self) -> None:
        """Hold, or go on."""
        if self.stopped:
            return
        if self.paused:
            self.wake.clear()
            self._resumed.set()
        else:
            self._resumed.clear()
            self.wake.set()

    def wait_resumed(self) -> None:
        """Wait for the end of a pause."""
        self._resumed.wait()

    def give(self, command: str) -> None:
        """`pause` or `stop`."""
        (self.stop if command == "stop" else self.pause)()


class PauseKeys:
    """Keys to commands; others mean nothing."""

    def feed(self, text: str) -> Iterator[str]:
        """The commands of these keys."""
        # An arrow or function key comes as Escape and more, in one piece.
        if not text.startswith("\x1b"):
            yield from (_COMMANDS[key] for key in text if key in _COMMANDS)


@contextmanager
def keyboard(control: Control) -> Iterator[bool]:
    """Obey single keys as long as the context lasts; yields whether there is a terminal."""
    try:
        fd = sys.stdin.fileno()
    except (OSError, ValueError, AttributeError):
        yield False
        return
    if not (os.isatty(fd) and in_foreground(fd)):
        yield False
        return
    with commands_from(fd, PauseKeys(), control.give, lambda line: None):
        yield True
