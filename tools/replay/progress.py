"""A line that shows how far the replay is, rewritten by a thread of its own."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from typing import TextIO

from tools.replay.control import Control
from tools.replay.player import Played

_EVERY_S = 0.25
_BAR = 24


class Progress:
    """The line; a context manager.

    Parameters
    ----------
    out : a terminal; None shows nothing.
    played : how far it is.
    seconds : length of the window.
    hint : what keys do.
    """

    def __init__(
        self, out: TextIO | None, played: Played, control: Control, seconds: float, hint: str
    ) -> None:
        self._out, self._played, self._control = out, played, control
        self._seconds, self._hint = seconds, hint
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        if self._out is not None:
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        if self._thread.ident is not None:
            # A terminal that hangs is left behind.
            self._thread.join(2.0)

    def text(self) -> str:
        """The line as it is now."""
        position, turn = self._played.position_s, 0.0
        if self._seconds > 0:
            turn, position = divmod(position, self._seconds)
        filled = round(_BAR * min(1.0, position / self._seconds)) if self._seconds > 0 else _BAR
        parts = [
            f"[{'#' * filled}{'-' * (_BAR - filled)}] {_clock(position)} / {_clock(self._seconds)}",
            *([f"turn {int(turn) + 1}"] if turn else []),
            f"late p99 {self._played.late.quantile_ms(0.99):.1f} ms",
            *(["PAUSED"] if self._control.paused else []),
            *(["waiting for a listener"] if not self._played.begun else []),
            *([self._hint] if self._hint else []),
        ]
        return " | ".join(parts)

    def _run(self) -> None:
        assert self._out is not None
        with suppress(OSError, ValueError):
            while not self._end.wait(_EVERY_S):
                width = shutil.get_terminal_size().columns - 1
                self._out.write(f"\r\x1b[K{self.text()[:width]}")
                self._out.flush()
            self._out.write("\r\x1b[K")
            self._out.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
