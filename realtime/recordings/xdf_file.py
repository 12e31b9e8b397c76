"""An XDF file: its streams, and the samples of any of them in pieces of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from realtime.recordings.xdf_chunks import open_container
from realtime.recordings.xdf_clock import StreamClock
from realtime.recordings.xdf_header import FORMATS, XdfHeader
from realtime.recordings.xdf_index import JUMP_S, Scan, StreamIndex, clock_offsets
from realtime.recordings.xdf_samples import Doubles, Strings, parse_block, resolve


@dataclass(frozen=True)
class Piece:
    """Consecutive samples of one stream.

    Parameters
    ----------
    first : index of the first of them in the stream.
    stamps : `(n,)` seconds.
    values : `(n, channels)` of the stream's own type, or a tuple of strings per sample.
    """

    first: int
    stamps: Doubles
    values: NDArray[Any] | Strings

    @property
    def numbers(self) -> NDArray[Any]:
        """The values of a stream that is not of strings."""
        assert isinstance(self.values, np.ndarray)
        return self.values

    @property
    def texts(self) -> Strings:
        """The values as strings, whatever their type."""
        if isinstance(self.values, np.ndarray):
            return [tuple(str(value) for value in row) for row in self.values.tolist()]
        return self.values


class XdfFile:
    """An opened XDF file.

    It is read once, from first chunk to last, to index it; damaged chunks are left out and what
    was unusual is in `notes`. Use it as a context manager, or call `close`.

    Parameters
    ----------
    path : an `.xdf`, or one compressed by gzip (`.xdfz`), which is unpacked to a temporary file.

    Raises
    ------
    RecordingError
        If it is no XDF file, or holds no stream.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file, notes = open_container(self.path)
        try:
            scan = Scan(self._file)
        except BaseException:
            self._file.close()
            raise
        self._streams = scan.streams
        self._clocks = {number: StreamClock(s) for number, s in scan.streams.items()}
        clock_notes = [note for clock in self._clocks.values() for note in clock.notes]
        self.notes: tuple[str, ...] = (*notes, *scan.notes, *clock_notes)
        self.xml = scan.xml
        if not self._streams:
            self._file.close()
            found = f" ({'; '.join(self.notes)})" if self.notes else ""
            raise RecordingError(f"{self.path} holds no stream{found}", "at least one stream")

    def __enter__(self) -> XdfFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def streams(self) -> tuple[XdfHeader, ...]:
        """Headers of all streams, in the order of the file."""
        return tuple(stream.header for stream in self._streams.values())

    def samples(self, stream: int) -> int:
        """Number of samples of a stream."""
        return self._stream(stream).samples

    def footer(self, stream: int) -> str:
        """Footer of a stream, XML; empty if it has none."""
        return self._stream(stream).footer

    def clock_offsets(self, stream: int) -> Doubles:
        """Clock offsets `(n, 2)`: collection time on the stream's clock and offset, seconds."""
        return clock_offsets(self._stream(stream))

    def clock_stretches(self, stream: int) -> int:
        """Stretches of the stream's clock between resets; 0 without clock offsets."""
        self._stream(stream)
        return len(self._clocks[stream].stretches)

    def pieces(
        self,
        stream: int,
        start: int = 0,
        stop: int | None = None,
        most: int = 1 << 16,
        synchronised: bool = True,
    ) -> Iterator[Piece]:
        """Samples of a stream in the order of the file.

        A piece is at most `most` samples and comes from at most 1 MB of the file. Timestamps that
        the file leaves out follow the one before after one nominal interval; nothing else is
        smoothed, so gaps and jitter are as recorded.

        Parameters
        ----------
        stream : its id.
        start, stop : first sample, and the one behind the last (default: all).
        most : samples in one piece.
        synchronised : give timestamps on the recorder's clock, by the stream's clock offsets;
            else on the stream's own.

        Raises
        ------
        RecordingError
            If there is no such stream, or the file was changed under us.
        """
        index = self._stream(stream)
        stop = index.samples if stop is None else min(stop, index.samples)
        bounds = self._starts(index)
        block = max(0, int(np.searchsorted(bounds, start, "right")) - 1)
        while block < len(index.counts) and bounds[block] < stop:
            whole = self._block(index, block, int(bounds[block]))
            begin, end = max(start - whole.first, 0), min(stop - whole.first, len(whole.stamps))
            for at in range(begin, end, max(1, most)):
                yield self._cut(whole, at, min(at + most, end), stream, synchronised)
            block += 1

    def read(self, stream: int, start: int, stop: int) -> NDArray[Any]:
        """Samples `(stop - start, channels)` of a stream of numbers, in its own type."""
        parts = [piece.numbers for piece in self.pieces(stream, start, stop)]
        if not parts:
            header = self._stream(stream).header
            return np.empty((0, header.channels), FORMATS[header.format])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def sample_at(self, stream: int, time_s: float) -> int:
        """Index of the first sample not before a time on the recorder's clock.

        Exact where the timestamps rise; `samples(stream)` if all are earlier.
        """
        index, clock = self._stream(stream), self._clocks[stream]
        ends = np.cumsum(np.array(index.counts, np.int64))
        lasts = np.array(index.lasts)
        reach = np.array([clock.mapped(lasts[i : i + 1], int(ends[i]) - 1)[0] for i in _r(lasts)])
        block = int(np.searchsorted(np.maximum.accumulate(reach), time_s)) if len(reach) else 0
        for piece in self.pieces(stream, int(ends[block - 1]) if block else 0):
            late = np.flatnonzero(piece.stamps >= time_s)
            if len(late):
                return piece.first + int(late[0])
        return index.samples

    def block_times(self, stream: int) -> Doubles:
        """First and last time of each block of samples, `(n, 2)`, on the recorder's clock."""
        index, clock = self._stream(stream), self._clocks[stream]
        starts = self._starts(index).tolist()
        firsts, lasts = np.array(index.firsts), np.array(index.lasts)
        rows = [
            (
                clock.mapped(firsts[i : i + 1], starts[i])[0],
                clock.mapped(lasts[i : i + 1], starts[i + 1] - 1)[0],
            )
            for i in _r(firsts)
        ]
        return np.array(rows, np.float64).reshape(-1, 2)

    def jumps(self, stream: int) -> list[tuple[int, float]]:
        """Where the time jumps on the recorder's clock: the sample behind it, and how far, seconds.

        Jumps are steps of the stream's own clock by more than half a second and two samples, and
        steps back between the ends of blocks, which clock offsets make that jump.
        """
        index = self._stream(stream)
        steps = np.diff(self.block_times(stream).ravel())
        starts = self._starts(index)
        back = np.flatnonzero(steps < -JUMP_S)
        found = {int(starts[(at + 1) // 2]): float(steps[at]) for at in back.tolist()}
        for run in index.runs[1:]:
            around = self.pieces(stream, run.first - 1, run.first + 1)
            before, behind = np.concatenate([piece.stamps for piece in around])
            found[run.first] = float(behind - before)
        return sorted(found.items())

    @staticmethod
    def _starts(index: StreamIndex) -> NDArray[np.int64]:
        """Index of the first sample of each block, and of what would follow."""
        return np.concatenate([[0], np.cumsum(np.array(index.counts, np.int64))])

    def _stream(self, stream: int) -> StreamIndex:
        if stream not in self._streams:
            raise RecordingError(
                f"{self.path} has no stream {stream}", f"one of {listed(self.streams)}"
            )
        return self._streams[stream]

    def _block(self, index: StreamIndex, block: int, first: int) -> Piece:
        self._file.seek(index.offsets[block])
        buffer = self._file.read(index.sizes[block])
        parsed = parse_block(index.header, buffer, index.counts[block])
        if len(parsed.stamps) != index.counts[block]:
            raise RecordingError(f"{self.path} was changed while it was read", "", "read it again")
        # The index knows the first timestamp, so a piece needs nothing from before.
        parsed.stamps[0] = index.firsts[block]
        return Piece(first, resolve(parsed.stamps, np.nan, index.header.rate), parsed.values)

    def _cut(self, whole: Piece, begin: int, end: int, stream: int, synchronised: bool) -> Piece:
        first, stamps = whole.first + begin, whole.stamps[begin:end]
        if synchronised:
            stamps = self._clocks[stream].mapped(stamps, first)
        return Piece(first, stamps, whole.values[begin:end])


def listed(streams: tuple[XdfHeader, ...]) -> str:
    """Streams in a line, for a message."""
    return " | ".join(str(header) for header in streams)


def _r(values: Doubles) -> range:
    return range(len(values))
