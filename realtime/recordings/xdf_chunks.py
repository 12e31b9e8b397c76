"""The container of an XDF file: its chunks, and where to go on after a damaged one.

Specification: github.com/sccn/xdf/wiki/Specifications (XDF 1.0). A chunk is
`[NumLengthBytes][Length][Tag][Content]`; boundary chunks hold a fixed UUID to search for.
"""

from __future__ import annotations

import gzip
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from models.errors import RecordingError

FILE_HEADER, STREAM_HEADER, SAMPLES, CLOCK_OFFSET, BOUNDARY, STREAM_FOOTER = range(1, 7)
BOUNDARY_UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
_MAGIC = b"XDF:"
_GZIP = b"\x1f\x8b"
_BLOCK = 1 << 20
_LENGTH = {1: "<B", 4: "<I", 8: "<Q"}


class DamagedChunkError(Exception):
    """A chunk contradicts itself; its text says how. Never leaves the reader."""


@dataclass(frozen=True)
class Chunk:
    """One chunk.

    Parameters
    ----------
    tag : kind of content.
    start : file offset of the chunk.
    body : file offset of its content, behind the tag.
    stop : file offset behind the chunk.
    """

    tag: int
    start: int
    body: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self.stop - self.body


def open_container(path: Path) -> tuple[IO[bytes], list[str]]:
    """Open an `.xdf`, or unpack an `.xdfz` into an unlinked temporary file.

    Raises
    ------
    RecordingError
        If it does not exist or does not begin as XDF does.
    """
    if not path.is_file():
        raise RecordingError(f"{path} does not exist", "an XDF file", "check the path")
    file: IO[bytes] = path.open("rb")
    notes: list[str] = []
    try:
        if file.read(2) == _GZIP:
            file, notes = _unpacked(file)
        file.seek(0)
        magic = file.read(4)
    except BaseException:
        file.close()
        raise
    if magic != _MAGIC:
        file.close()
        raise RecordingError(
            f"{path} begins with {magic!r}", "an XDF file, which begins with b'XDF:'"
        )
    return file, notes


def read_varlen(buffer: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer and the place behind it.

    Raises
    ------
    DamagedChunkError
        If its size is not 1, 4 or 8 bytes, or it is cut off.
    """
    layout = _LENGTH.get(buffer[at]) if at < len(buffer) else None
    if layout is None or at + 1 + struct.calcsize(layout) > len(buffer):
        raise DamagedChunkError("a length is not written in 1, 4 or 8 bytes")
    value: int = struct.unpack_from(layout, buffer, at + 1)[0]
    return value, at + 1 + struct.calcsize(layout)


class ChunkWalk:
    """Walks the chunks of a file from first to last.

    Iterate over it; call `damaged` on a chunk whose content contradicts itself, so that the walk
    goes on where the next chunk surely begins: at its stated end if a chunk stands there, else
    behind the next boundary.

    Parameters
    ----------
    file : an opened container.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, 2)
        self._next = len(_MAGIC)
        self.notes: list[str] = []
        """What was left out, a sentence each."""

    def __iter__(self) -> Iterator[Chunk]:
        while self._next < self._size:
            start = self._next
            try:
                chunk = self._chunk_at(start)
            except DamagedChunkError as err:
                self._resynchronise(start, str(err))
                continue
            self._next = chunk.stop
            yield chunk

    def damaged(self, chunk: Chunk, reason: str) -> None:
        """Leave a chunk out and find the next one."""
        if self._stands_at(chunk.stop):
            self._note(chunk.start, chunk.stop, reason)
            self._next = chunk.stop
        else:
            self._resynchronise(chunk.start, reason)

    def _chunk_at(self, start: int) -> Chunk:
        self._file.seek(start)
        head = self._file.read(11)
        length, behind = read_varlen(head, 0)
        stop = start + behind + length
        if length < 2 or behind + 2 > len(head):
            raise DamagedChunkError(f"a chunk of {length} bytes has no room for its tag")
        if stop > self._size:
            raise DamagedChunkError(f"a chunk runs {stop - self._size} bytes past the end")
        tag = int.from_bytes(head[behind : behind + 2], "little")
        chunk = Chunk(tag, start, start + behind + 2, stop)
        if tag == BOUNDARY and not self._is_boundary(chunk):
            raise DamagedChunkError("a boundary chunk does not hold the boundary's UUID alone")
        return chunk

    def _is_boundary(self, chunk: Chunk) -> bool:
        self._file.seek(chunk.body)
        return self._file.read(chunk.size) == BOUNDARY_UUID if chunk.size == 16 else False

    def _stands_at(self, place: int) -> bool:
        if place == self._size:
            return True
        try:
            return FILE_HEADER <= self._chunk_at(place).tag <= STREAM_FOOTER
        except DamagedChunkError:
            return False

    def _resynchronise(self, start: int, reason: str) -> None:
        self._next = self._behind_boundary(start + 1)
        self._note(start, self._next, reason)

    def _behind_boundary(self, place: int) -> int:
        keep = len(BOUNDARY_UUID) - 1
        while place < self._size:
            self._file.seek(place)
            block = self._file.read(_BLOCK + keep)
            found = block.find(BOUNDARY_UUID)
            if found >= 0:
                return place + found + len(BOUNDARY_UUID)
            place += _BLOCK
        return self._size

    def _note(self, start: int, stop: int, reason: str) -> None:
        where = "the last" if stop == self._size else f"at byte {start},"
        self.notes.append(f"{where} {stop - start} bytes were left out: {reason}")


def _unpacked(packed: IO[bytes]) -> tuple[IO[bytes], list[str]]:
    packed.seek(0)
    # The unlinked file lives as long as it is open; gzip itself has no random access.
    plain: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
    notes: list[str] = []
    with packed, gzip.open(packed) as stream:
        try:
            while block := stream.read(_BLOCK):
                plain.write(block)
        except (EOFError, OSError, zlib.error) as err:
            notes.append(f"the compressed file ends early or is damaged ({err})")
    return plain, notes
