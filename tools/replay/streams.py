"""What a recording consists of: streams, each with its description and its samples in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from models.errors import RecordingError
from tools.faults.source import Block, Blocks, Times

STRING = "string"
NEURAL = frozenset({"eeg", "seeg", "ieeg", "ecog"})
FORMATS = {
    "float32": "float32",
    "float64": "double64",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
}
"""LSL's names of numpy's types."""


@dataclass(frozen=True)
class About:
    """What a stream says of itself.

    Parameters
    ----------
    format : LSL's name of it: `float32`, `double64`, `int8` ... `int64`, `string`.
    rate_hz : nominal; 0 of an irregular stream.
    desc : the element `desc` of its description, with all that its sender told.
    """

    name: str
    type: str
    source_id: str
    format: str
    channels: int
    rate_hz: float
    desc: Element

    @property
    def is_seeg(self) -> bool:
        """Whether it holds contacts, by its type."""
        return self.type.casefold() in NEURAL and self.format != STRING

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its channels; their number where they have none."""
        return tuple(label or str(number) for number, label in enumerate(self._told("label"), 1))

    @property
    def units(self) -> tuple[str, ...]:
        """Units of its channels; empty where it states none."""
        return self._told("unit")

    def _told(self, key: str) -> tuple[str, ...]:
        rows = self.desc.findall("channels/channel")[: self.channels]
        told = [(row.findtext(key) or "").strip() for row in rows]
        return (*told, *[""] * (self.channels - len(told)))

    def __str__(self) -> str:
        return (
            f"'{self.name}' (type {self.type or 'none'}, {self.channels} x {self.format}, "
            f"{self.rate_hz:g} Hz)"
        )


@dataclass(frozen=True)
class RecordedStream:
    """One stream of a recording.

    Parameters
    ----------
    first_s, last_s : times of its first and last sample, on the clock of the recording.
    blocks : its samples in order, of bounded size, from about a time on (`-inf`: all). They are
        never due before one another, and the timestamps are as recorded.
    paced : its blocks are the packets that came, due when they came.
    trouble : why it cannot be played as it is.
    """

    about: About
    samples: int
    first_s: float
    last_s: float
    blocks: Callable[[float], Blocks]
    paced: bool = False
    trouble: RecordingError | None = None


@dataclass
class Opened:
    """A recording: its streams in the order of the file, and notes on what was unusual."""

    streams: list[RecordedStream]
    notes: list[str] = field(default_factory=list)
    files: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Opened:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.files.close()


def rising(pieces: Iterable[tuple[Any, Times]]) -> Iterator[Block]:
    """Blocks of samples and timestamps as recorded; where those step back, nothing is due before.

    A driver that stamps packets when it hands them over makes them overlap by some milliseconds.
    """
    latest = -np.inf
    for samples, stamps in pieces:
        if len(stamps):
            times = np.maximum.accumulate(np.maximum(stamps, latest))
            latest = float(times[-1])
            yield Block(samples, times, stamps)


def of_events(about: About, rows: list[tuple[float, tuple[Any, ...]]]) -> RecordedStream:
    """A stream of few samples that are in memory: times in seconds, and their values in any order.

    Values of numbers become an array of the stream's type.
    """
    rows = sorted(rows, key=lambda row: row[0])
    stamps = np.array([time for time, _ in rows], np.float64)

    def blocks(since_s: float) -> Blocks:
        first = int(np.searchsorted(stamps, since_s))
        values: Any = [value for _, value in rows[first:]]
        if about.format != STRING:
            values = np.array(values, about.format.replace("double64", "float64"))
            values = values.reshape(-1, about.channels)
        return rising([(values, stamps[first:])])

    first, last = (float(stamps[0]), float(stamps[-1])) if rows else (np.nan, np.nan)
    return RecordedStream(about, len(rows), first, last, blocks)
