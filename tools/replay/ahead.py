"""A thread that reads ahead, so that a slow disk delays no push."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from tools.faults.inject import Push
from tools.replay.schedule import Item

MOST_BYTES = 24 << 20
MOST_ITEMS = 40_000
_FULL_S, _EMPTY_S = 0.005, 0.0005
# A string and its tuple; numbers count as what they take.
_ROW_BYTES = 200


class Ahead:
    """The items of an iterator, taken from it by a thread of its own; a context manager.

    Parameters
    ----------
    items : read up to `MOST_BYTES` of samples, or `MOST_ITEMS`, before they are asked for.

    What the iterator raises is raised by `next`, after the items before it.
    """

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._ready: deque[tuple[int, Item]] = deque()
        # One writer each: no lock is needed.
        self._read = self._taken = 0
        self._closed = self._done = False
        self._error: BaseException | None = None
        self.waits = 0
        """How often an item was not there yet when it was asked for."""
        self._thread = threading.Thread(target=self._run, name="reading ahead", daemon=True)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closed = True
        self._thread.join()

    def fill(self) -> None:
        """Wait until something is there, and raise what went wrong before it."""
        while not (self._ready or self._done):
            time.sleep(_EMPTY_S)
        if not self._ready and self._error is not None:
            raise self._error

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if not self._ready:
            self.waits += not self._done
            self.fill()
        if not self._ready:
            raise StopIteration
        size, item = self._ready.popleft()
        self._taken += size
        return item

    def _run(self) -> None:
        try:
            for item in self._items:
                size = _bytes(item)
                while self._is_full() and not self._closed:
                    time.sleep(_FULL_S)
                if self._closed:
                    return
                self._read += size
                self._ready.append((size, item))
        except BaseException as err:
            self._error = err
        finally:
            self._done = True

    def _is_full(self) -> bool:
        return self._read - self._taken > MOST_BYTES or len(self._ready) >= MOST_ITEMS


def _bytes(item: Item) -> int:
    command = item[2]
    if not isinstance(command, Push):
        return _ROW_BYTES
    samples: Any = command.samples
    return int(getattr(samples, "nbytes", _ROW_BYTES * len(samples))) + command.stamps.nbytes
