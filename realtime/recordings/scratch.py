"""Long arrays filled piece by piece: in memory when short, in a temporary file when long.

Reading a recording of any length needs the memory of one piece (`PIECE_BYTES`, and what the
format's library adds to it) beside the arrays that stay below `IN_MEMORY_BYTES`.
"""

from __future__ import annotations

import mmap
import shutil
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError

Floats = NDArray[np.float32]

IN_MEMORY_BYTES = 256 << 20
"""Longer arrays live in an unlinked temporary file, where TMPDIR says (4096 contact-minutes at
1024 Hz: 36 minutes of 112 contacts)."""
PIECE_BYTES = 8 << 20
"""One piece as float64, which is how libraries hand it out."""


class Scratch:
    """An array `(samples,)` or `(samples, columns)` of float32 that grows from its start.

    Parameters
    ----------
    shape : the most it may hold; `array` gives what was added.

    Raises
    ------
    RecordingError
        If the temporary folder has no room for it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._filled = 0
        size = 4 * int(np.prod(shape))
        self._file = None
        if size > IN_MEMORY_BYTES:
            _check_room(size)
            # Written, not mapped, so that what was written leaves the memory again.
            self._file = tempfile.TemporaryFile(prefix="seegvox-")  # noqa: SIM115 - outlives this
        else:
            self._values = np.empty(shape, np.float32)

    def add(self, block: NDArray[np.generic]) -> None:
        """Append samples."""
        stop = self._filled + len(block)
        if stop > self._shape[0]:
            raise ValueError(f"{stop} samples in a scratch of {self._shape[0]}")
        if self._file is None:
            self._values[self._filled : stop] = block
        else:
            self._file.write(np.ascontiguousarray(block, np.float32).data)
        self._filled = stop

    @property
    def filled(self) -> int:
        """Number of samples added."""
        return self._filled

    def array(self) -> Floats:
        """What was added; a `numpy.memmap` if it is in a file, which goes when the array goes."""
        shape = (self._filled, *self._shape[1:])
        if self._file is None:
            return self._values[: self._filled]
        self._file.flush()
        mapped: Floats = np.memmap(self._file, np.float32, "r+", shape=shape)
        self._file.close()
        return mapped


def pieces(samples: int, columns: int = 1) -> Iterator[tuple[int, int]]:
    """First and past-the-last sample of each piece."""
    # Whole blocks of 4096 samples: compressed files are cut in such chunks.
    rows = max(4096, PIECE_BYTES // (8 * max(1, columns)) // 4096 * 4096)
    for start in range(0, samples, rows):
        yield start, min(samples, start + rows)


def gathered(shape: tuple[int, ...], read: Callable[[int, int], NDArray[np.generic]]) -> Floats:
    """Everything that `read(start, stop)` gives, as float32; shorter where it ends early."""
    scratch = Scratch(shape)
    for start, stop in pieces(*shape[:2]):
        block = read(start, stop)
        scratch.add(block)
        if len(block) < stop - start:
            break
    return scratch.array()


def blocks(values: Floats) -> Iterator[Floats]:
    """The array piece by piece, `(n,)` or `(n, columns)`, each released afterwards."""
    for start, stop in pieces(*values.shape[:2]):
        yield values[start:stop]
        release(values)


def release(values: Floats) -> None:
    """Let what was read from a temporary file leave memory again; nothing for other arrays.

    Its pages would count as memory in use until somebody else needs it.
    """
    mapped = getattr(values, "_mmap", None)
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)  # of a shared mapping: written pages stay in the file


def _check_room(size: int) -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < size:
        raise RecordingError(
            f"{folder} has {free / 1e9:.1f} GB free",
            f"{size / 1e9:.1f} GB for the samples of this recording",
            "make room, or set TMPDIR to a folder on a larger disk",
        )
