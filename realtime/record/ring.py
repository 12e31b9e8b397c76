"""The ring between the decoder and its recorder: records of bytes in shared memory. No locks.

As in `realtime.playout.exchange`: one producer, one consumer, each the only writer of its own
counters, data before the counter that announces it. Here the oldest is never written over: a
producer that finds no room leaves its record out and is told so.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

HEAD = struct.Struct("<qq")
_COUNTERS = 16
_TEXT = 1024
_TEXT_AT = 8 * _COUNTERS
_DATA_AT = _TEXT_AT + _TEXT


class Count(IntEnum):
    """Places of the 64-bit counters; the first four are the producer's, the rest the consumer's."""

    WRITTEN = 0
    DROPPED = 1
    DROPPED_SAMPLES = 2
    STOP = 3
    READ = 8
    STATUS = 9


class Status(IntEnum):
    """Life of the recorder."""

    OPENING = 0
    RUNNING = 1
    CLOSED = 2
    FAILED = 3


class Kind(IntEnum):
    """What a record of the ring carries."""

    BLOCK = 1
    HOP = 2
    DAC = 3
    EVENT = 4
    ABOUT = 5


# Indexing by a member of an enumeration costs more than all the rest of a small `put`.
_WRITTEN, _READ = int(Count.WRITTEN), int(Count.READ)


def memory_size(capacity: int) -> int:
    """Bytes of shared memory for a ring that holds `capacity` bytes."""
    return _DATA_AT + capacity


class Ring:
    """Views on shared memory that two processes hold.

    Parameters
    ----------
    memory : `memory_size(capacity)` bytes, zeroed.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        view = memoryview(memory)
        self.counts = view[:_TEXT_AT].cast("q")
        self._text = view[_TEXT_AT:_DATA_AT]
        self._data = view[_DATA_AT:]
        self.capacity = len(self._data)

    def __getitem__(self, count: Count) -> int:
        return int(self.counts[count])

    @property
    def room(self) -> int:
        """Bytes that are free."""
        return int(self.capacity - self.counts[_WRITTEN] + self.counts[_READ])

    def put(self, kind: Kind, *parts: Any) -> bool:
        """Append one record made of contiguous buffers; False if there is no room for it."""
        # A view of nothing cannot be cast.
        views = [view.cast("B") for part in parts if (view := memoryview(part)).nbytes]
        length = sum(map(len, views))
        if HEAD.size + length > self.room:
            return False
        at = self._copy(self.counts[_WRITTEN], HEAD.pack(kind, length))
        for view in views:
            at = self._copy(at, view)
        self.counts[_WRITTEN] = at
        return True

    def _copy(self, position: int, source: memoryview | bytes) -> int:
        at, n = position % self.capacity, len(source)
        first = min(n, self.capacity - at)
        self._data[at : at + first] = source[:first]
        if first < n:
            self._data[: n - first] = source[first:]
        return position + n

    def take(self) -> Iterator[tuple[Kind, bytes]]:
        """The records that are there; each is gone from the ring once the next is asked for."""
        at, end = self[Count.READ], self[Count.WRITTEN]
        while at < end:
            kind, length = HEAD.unpack(self._read(at, HEAD.size))
            yield Kind(kind), self._read(at + HEAD.size, length)
            at += HEAD.size + length
            self.counts[Count.READ] = at

    def _read(self, position: int, n: int) -> bytes:
        at = position % self.capacity
        first = min(n, self.capacity - at)
        return bytes(self._data[at : at + first]) + bytes(self._data[: n - first])

    @property
    def message(self) -> str:
        """Why the recorder failed."""
        return bytes(self._text).split(b"\0", 1)[0].decode(errors="replace")

    @message.setter
    def message(self, text: str) -> None:
        raw = text.encode()[: _TEXT - 1]
        self._text[: len(raw) + 1] = raw + b"\0"
