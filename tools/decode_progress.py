"""How far decoding is: a line kept up to date on a terminal, and a line per finished file."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType

_EVERY_S = 0.2


class Display:
    """On standard error; nothing is shown of a single file where there is no terminal.

    Parameters
    ----------
    count : of files.
    """

    def __init__(self, count: int) -> None:
        self._count, self._over, self._failed = count, 0, 0
        self._terminal = sys.stderr.isatty()
        self._under_way: dict[str, tuple[float, float]] = {}
        self._began, self._drawn = time.monotonic(), 0.0

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clear()

    def at(self, name: str, done_s: float, total_s: float) -> None:
        """A file is at `done_s` of `total_s` of its signal."""
        self._under_way[name] = (done_s, total_s)
        now = time.monotonic()
        if self._terminal and now - self._drawn > _EVERY_S:
            self._drawn = now
            self._draw(now)

    def over(self, name: str, failed: bool) -> None:
        """A file is done, or failed; why is in the table."""
        self._under_way.pop(name, None)
        self._over += 1
        self._failed += failed
        self._clear()
        said = "failed" if failed else "done"
        print(f"{self._over} of {self._count}  {name}  {said}", file=sys.stderr, flush=True)

    def _draw(self, now: float) -> None:
        parts = [f"{name} {_percent(*at)}" for name, at in self._under_way.items()]
        if self._count > 1:
            failed = f", {self._failed} failed" if self._failed else ""
            parts.insert(0, f"{self._over} of {self._count} files{failed}")
        elif (passed := now - self._began) > 0:
            done = sum(done for done, _ in self._under_way.values())
            parts.append(f"{done / passed:.0f} times real time")
        line = "decode: " + " | ".join(parts)
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _percent(done_s: float, total_s: float) -> str:
    return f"{min(100.0, 100 * done_s / total_s):.0f} %" if total_s > 0 else f"{done_s:.0f} s"
