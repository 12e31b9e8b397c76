"""One pass over an XDF file: which streams it holds, and where their samples lie."""

from __future__ import annotations

import itertools
from array import array
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from numpy.typing import NDArray

from realtime.recordings import xdf_chunks as tags
from realtime.recordings.xdf_chunks import Chunk, ChunkWalk, DamagedChunkError, read_varlen
from realtime.recordings.xdf_header import XdfHeader, read_header, read_xml
from realtime.recordings.xdf_samples import Doubles, parse_block, resolve

BLOCK_BYTES = 1 << 20
JUMP_S = 0.5
_MOST_XML = 1 << 26


@dataclass(frozen=True)
class Run:
    """Consecutive samples whose timestamps never jump.

    In a stream of a steady rate a jump is a step of more than `JUMP_S` and two samples, in an
    irregular one a step back by more than `JUMP_S`. `first` is the index of its first sample,
    `earliest` and `latest` its extreme timestamps, `begin` and `end` the file offsets between
    which it lies.
    """

    first: int
    earliest: float
    latest: float
    begin: int
    end: int


@dataclass
class StreamIndex:
    """Where the samples and clock offsets of one stream lie.

    Blocks are at most `BLOCK_BYTES` long (more only where a single sample is longer); one chunk
    may be several.
    """

    header: XdfHeader
    offsets: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    counts: array[int] = field(default_factory=lambda: array("q"))
    firsts: array[float] = field(default_factory=lambda: array("d"))
    lasts: array[float] = field(default_factory=lambda: array("d"))
    runs: list[Run] = field(default_factory=list)
    clock_times: array[float] = field(default_factory=lambda: array("d"))
    clock_values: array[float] = field(default_factory=lambda: array("d"))
    clock_places: array[int] = field(default_factory=lambda: array("q"))
    footer: str = ""
    samples: int = 0
    backward: int = 0
    unstamped: bool = False

    def add(self, offset: int, size: int, given: Doubles) -> None:
        """Append one block of samples; timestamps that the file leaves out are NaN."""
        self.unstamped |= not self.samples and not np.isfinite(given[0])
        last = self.lasts[-1] if self.samples else np.nan
        stamps = resolve(given, last, self.header.rate)
        steps = np.diff(stamps, prepend=self.lasts[-1] if self.samples else stamps[0])
        self.backward += int(np.count_nonzero(steps < 0))
        rate = self.header.rate
        jumps = np.abs(steps) > JUMP_S + 2 / rate if rate else steps < -JUMP_S
        cuts = np.flatnonzero(jumps)
        bounds = [0, *cuts.tolist(), len(stamps)]
        for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
            if stop > start:
                fresh = number > 0 or not self.runs
                self._extend(stamps[start:stop], self.samples + start, offset, fresh)
        self.offsets.append(offset)
        self.sizes.append(size)
        self.counts.append(len(stamps))
        self.firsts.append(float(stamps[0]))
        self.lasts.append(float(stamps[-1]))
        self.samples += len(stamps)

    def state(self) -> tuple[int, int, int, bool, list[Run]]:
        """What `restore` needs to take back the blocks that follow."""
        last_run = self.runs[-1:]
        return len(self.offsets), self.samples, self.backward, self.unstamped, last_run

    def restore(self, state: tuple[int, int, int, bool, list[Run]]) -> None:
        """Take back the blocks added since `state`."""
        blocks, self.samples, self.backward, self.unstamped, last_run = state
        for column in (self.offsets, self.sizes, self.counts):
            del column[blocks:]
        del self.firsts[blocks:], self.lasts[blocks:]
        kept = [run for run in self.runs if run.first < self.samples]
        self.runs = kept[:-1] + last_run if kept else []

    def _extend(self, stamps: Doubles, first: int, offset: int, fresh: bool) -> None:
        low, high = float(stamps.min()), float(stamps.max())
        if fresh:
            self.runs.append(Run(first, low, high, offset, offset))
            return
        run = self.runs[-1]
        self.runs[-1] = Run(
            run.first, min(run.earliest, low), max(run.latest, high), run.begin, offset
        )


class Scan:
    """Reads every chunk once.

    `streams` by id, `notes` of what was unusual, `xml` of the file itself.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.streams: dict[int, StreamIndex] = {}
        self.xml = ""
        self._strange: dict[str, int] = {}
        walk = ChunkWalk(file)
        readers = {
            tags.FILE_HEADER: self._file_header,
            tags.STREAM_HEADER: self._stream_header,
            tags.SAMPLES: self._samples,
            tags.CLOCK_OFFSET: self._clock_offset,
            tags.STREAM_FOOTER: self._footer,
            tags.BOUNDARY: self._boundary,
        }
        for chunk in walk:
            try:
                readers.get(chunk.tag, self._unknown)(chunk)
            except DamagedChunkError as err:
                walk.damaged(chunk, str(err))
        counted = [f"{count} {what}" for what, count in self._strange.items()]
        self.notes = walk.notes + counted + [n for s in self.streams.values() for n in _notes(s)]

    def _content(self, chunk: Chunk, most: int = _MOST_XML) -> bytes:
        if chunk.size > most:
            raise DamagedChunkError(f"a chunk of {chunk.size} bytes with tag {chunk.tag}")
        self._file.seek(chunk.body)
        return self._file.read(chunk.size)

    def _of_stream(self, chunk: Chunk, raw: bytes) -> int:
        if len(raw) < 4:
            raise DamagedChunkError(f"a chunk with tag {chunk.tag} has no room for a stream id")
        return int.from_bytes(raw[:4], "little")

    def _count(self, what: str) -> None:
        self._strange[what] = self._strange.get(what, 0) + 1

    def _boundary(self, chunk: Chunk) -> None:
        """Nothing to do: the walk has proved it."""

    def _unknown(self, chunk: Chunk) -> None:
        self._count(f"chunks with the unknown tag {chunk.tag} were skipped")

    def _file_header(self, chunk: Chunk) -> None:
        self.xml = read_xml(self._content(chunk))[0]

    def _stream_header(self, chunk: Chunk) -> None:
        raw = self._content(chunk)
        header = read_header(self._of_stream(chunk, raw), raw[4:])
        known = self.streams.get(header.id)
        if known is None:
            self.streams[header.id] = StreamIndex(header)
        elif _layout(known.header) != _layout(header):
            raise DamagedChunkError(f"stream {header.id} is described twice, differently")
        else:
            self._count(f"more headers of stream {header.id} were skipped")

    def _clock_offset(self, chunk: Chunk) -> None:
        if chunk.size != 20:
            raise DamagedChunkError(f"a clock offset of {chunk.size} bytes instead of 20")
        raw = self._content(chunk)
        stream = self.streams.get(self._of_stream(chunk, raw))
        time, value = np.frombuffer(raw, "<f8", 2, 4)
        if stream is None:
            self._count("clock offsets of streams without a header were skipped")
        elif not np.isfinite(time + value):
            raise DamagedChunkError("a clock offset is no number")
        else:
            stream.clock_times.append(float(time))
            stream.clock_values.append(float(value))
            stream.clock_places.append(chunk.start)

    def _footer(self, chunk: Chunk) -> None:
        raw = self._content(chunk)
        stream = self.streams.get(self._of_stream(chunk, raw))
        if stream is None:
            self._count("footers of streams without a header were skipped")
        else:
            stream.footer = read_xml(raw[4:])[0]

    def _samples(self, chunk: Chunk) -> None:
        self._file.seek(chunk.body)
        head = self._file.read(min(chunk.size, 13))
        stream = self.streams.get(self._of_stream(chunk, head))
        if stream is None:
            self._count("sample chunks of streams without a header were skipped")
            return
        count, behind = read_varlen(head, 4)
        before = stream.state()
        try:
            self._blocks(stream, chunk.body + behind, chunk.stop, count)
        except DamagedChunkError:
            # Only a chunk that proves whole enters the index, so nothing is ever misaligned.
            stream.restore(before)
            raise

    def _blocks(self, stream: StreamIndex, place: int, stop: int, count: int) -> None:
        block = BLOCK_BYTES
        while count:
            self._file.seek(place)
            buffer = self._file.read(min(block, stop - place))
            parsed = parse_block(stream.header, buffer, count)
            taken = len(parsed.stamps)
            if not taken and block >= stop - place:
                raise DamagedChunkError(f"{count} samples of a chunk are missing")
            if not taken:
                block *= 2
                continue
            stream.add(place, parsed.used, parsed.stamps)
            place, count = place + parsed.used, count - taken
        if place != stop:
            raise DamagedChunkError(f"a sample chunk holds {stop - place} bytes too many")


def clock_offsets(stream: StreamIndex) -> NDArray[np.float64]:
    """Clock offsets `(n, 2)`: collection time on the stream's clock and offset, seconds."""
    return np.column_stack([np.array(stream.clock_times), np.array(stream.clock_values)])


def _layout(header: XdfHeader) -> tuple[str, int, float]:
    return header.format, header.channels, header.rate


def _notes(stream: StreamIndex) -> list[str]:
    name, notes = f"stream '{stream.header.name}'", []
    if stream.backward:
        notes.append(f"{name}: {stream.backward} timestamps step back")
    if stream.unstamped:
        notes.append(f"{name}: the first samples carry no timestamp; their times count from 0")
    if not stream.footer:
        notes.append(f"{name} has no footer, so its recording was not closed")
    else:
        stated = read_xml(stream.footer.encode())[1].findtext("sample_count", "").strip()
        if stated.isdigit() and int(stated) != stream.samples:
            notes.append(f"{name}: its footer counts {stated} samples, {stream.samples} are there")
    return notes
