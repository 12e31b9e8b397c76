"""What producer and player share: an audio ring, hop marks, counters. No locks.

One producer and one consumer, each the only writer of its own counters, which only grow. Data is
written before the counter that announces it; aligned 64-bit stores are atomic, and x86-64 keeps
stores in order. (On ARM the interpreter's work between the two stores is what keeps them apart.)
The producer never waits: it writes over the oldest audio, and the consumer, seeing itself too far
behind, jumps. The ring holds 4 s and the consumer trims at tenths of a second, so the two
meet only when the player has been standing still for 4 s, which it notices before it reads.
"""

from __future__ import annotations

import mmap
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.streaming import Floats

AUDIO = 65_536
MARKS = 4_096
# What the device took, for the record: 5 s at 48 kHz.
HEARD = 262_144
TEXT = 512


class Count(IntEnum):
    """Places of the 64-bit counters; the first four are the producer's, the rest the player's."""

    WRITTEN = 0
    MARKS_WRITTEN = 1
    MUTE = 2
    STOP = 3
    READ = 8
    DACS_WRITTEN = 9
    STATUS = 10
    UNDERRUNS = 11
    TRIMS = 12
    TRIMMED = 13
    DEVICE_UNDERFLOWS = 14
    PLAYED = 15
    HEARD = 16
    HEARD_MARKS = 17


class Value(IntEnum):
    """Places of the player's 64-bit floats."""

    BEAT_S = 0
    RATIO_PPM = 1
    DELAY_S = 2


class Status(IntEnum):
    """Life of the player."""

    OPENING = 0
    RUNNING = 1
    STOPPED = 2
    FAILED = 3


_VALUES_AT = 24 * 8
_DEVICE_AT = _VALUES_AT + 8 * 8
_MESSAGE_AT = _DEVICE_AT + TEXT
_MARKS_AT = _MESSAGE_AT + TEXT
_DACS_AT = _MARKS_AT + MARKS * 24
_AUDIO_AT = _DACS_AT + MARKS * 16
_HEARD_AT = _AUDIO_AT + AUDIO * 4
_HEARD_MARKS_AT = _HEARD_AT + HEARD * 4
SIZE = _HEARD_MARKS_AT + MARKS * 32


class Exchange:
    """Views on `SIZE` bytes that two threads or two processes both hold."""

    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        self.counts = _view(memory, 0, 24, "q")
        self.values = _view(memory, _VALUES_AT, 8, "d")
        self._marks = _view(memory, _MARKS_AT, 2 * MARKS, "q")
        self._pushed = _view(memory, _MARKS_AT + 16 * MARKS, MARKS, "d")
        self._dacs: NDArray[np.float64] = np.frombuffer(memory, np.float64, 2 * MARKS, _DACS_AT)
        self._dacs = self._dacs.reshape(MARKS, 2)
        self._device: NDArray[np.uint8] = np.frombuffer(memory, np.uint8, TEXT, _DEVICE_AT)
        self._message: NDArray[np.uint8] = np.frombuffer(memory, np.uint8, TEXT, _MESSAGE_AT)
        self._audio: Floats = np.frombuffer(memory, np.float32, AUDIO, _AUDIO_AT)
        self._heard: Floats = np.frombuffer(memory, np.float32, HEARD, _HEARD_AT)
        marks: NDArray[np.float64] = np.frombuffer(memory, np.float64, 4 * MARKS, _HEARD_MARKS_AT)
        self._heard_marks = marks.reshape(MARKS, 4)

    def __getitem__(self, count: Count) -> int:
        return int(self.counts[count])

    def add(self, count: Count, n: int) -> None:
        """Let one of the caller's own counters grow."""
        self.counts[count] += n

    # --- the producer's side ------------------------------------------------------------------

    def push(self, audio: Floats, hop: int, now: float) -> None:
        """Append `(n,)` samples of hop `hop`; over the oldest if the player stands still."""
        start, mark = self[Count.WRITTEN], self[Count.MARKS_WRITTEN]
        _put(self._audio, start, audio)
        # The mark goes first: audio whose mark is unknown would be played without a time.
        row = mark % MARKS
        self._marks[2 * row], self._marks[2 * row + 1], self._pushed[row] = hop, start, now
        self.counts[Count.MARKS_WRITTEN] = mark + 1
        self.counts[Count.WRITTEN] = start + len(audio)

    def dacs_since(self, seen: int) -> tuple[NDArray[np.float64], int]:
        """Rows (hop, time) reported since `seen` rows, and the new count; oldest are lost first."""
        now = self[Count.DACS_WRITTEN]
        at = np.arange(max(seen, now - MARKS // 2), now) % MARKS
        return self._dacs[at], now

    # --- the player's side --------------------------------------------------------------------

    def read(self, start: int, n: int) -> Floats:
        """Copy `n` samples from absolute position `start`."""
        at = start % AUDIO
        first = min(n, AUDIO - at)
        return np.concatenate((self._audio[at : at + first], self._audio[: n - first]))

    def mark(self, index: int) -> tuple[int, int, float]:
        """Hop, absolute start sample and push time of mark `index`."""
        row = index % MARKS
        return self._marks[2 * row], self._marks[2 * row + 1], self._pushed[row]

    def report_dac(self, hop: int, time: float) -> None:
        """Say when a hop reaches the DAC; NaN if it never will."""
        row = self[Count.DACS_WRITTEN]
        self._dacs[row % MARKS] = (hop, time)
        self.counts[Count.DACS_WRITTEN] = row + 1

    def tell_heard(self, audio: Floats, now: float, rate: int) -> None:
        """Keep `(n,)` that the device had taken at `now`, at its rate, for the record."""
        start, row = self[Count.HEARD], self[Count.HEARD_MARKS]
        _put(self._heard, start, audio)
        self._heard_marks[row % MARKS] = (start, len(audio), now, rate)
        self.counts[Count.HEARD] = start + len(audio)
        self.counts[Count.HEARD_MARKS] = row + 1

    # --- the record's side --------------------------------------------------------------------

    def heard_since(self, seen: int) -> tuple[NDArray[np.float64], Floats, int]:
        """Writes to the device since `seen` writes, their audio, and the new count of writes.

        Rows (first sample, samples, monotonic time, rate), first samples counted from the start
        of playout; of what came round only the newest half is left.
        """
        now = self[Count.HEARD_MARKS]
        rows = self._heard_marks[np.arange(max(seen, now - MARKS // 2), now) % MARKS]
        rows = rows[rows[:, 0] >= self[Count.HEARD] - HEARD // 2]
        if not len(rows):
            return rows, np.zeros(0, np.float32), now
        audio = self._heard[np.arange(int(rows[0, 0]), int(rows[-1, :2].sum())) % HEARD]
        return rows, audio, now

    # --- words --------------------------------------------------------------------------------

    @property
    def device(self) -> str:
        """Description of the open device."""
        return _get_text(self._device)

    @device.setter
    def device(self, text: str) -> None:
        _set_text(self._device, text)

    @property
    def message(self) -> str:
        """Why the player failed."""
        return _get_text(self._message)

    @message.setter
    def message(self, text: str) -> None:
        _set_text(self._message, text)


def _put(ring: Floats, start: int, audio: Floats) -> None:
    """Write samples from absolute position `start` on, round the end."""
    at = start % len(ring)
    first = min(len(audio), len(ring) - at)
    ring[at : at + first] = audio[:first]
    ring[: len(audio) - first] = audio[first:]


def _view(memory: mmap.mmap | bytearray, at: int, n: int, kind: str) -> Any:
    """`n` 8-byte numbers; a memoryview takes a tenth of numpy's time for one of them."""
    return memoryview(memory)[at : at + 8 * n].cast(kind)  # type: ignore[call-overload]


def _get_text(place: NDArray[np.uint8]) -> str:
    return place.tobytes().split(b"\0", 1)[0].decode(errors="replace")


def _set_text(place: NDArray[np.uint8], text: str) -> None:
    raw = text.encode()[: TEXT - 1]
    place[:] = 0
    place[: len(raw)] = np.frombuffer(raw, dtype=np.uint8)
