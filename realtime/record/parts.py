"""Files of raw rows that HDF5 reads: made by the HDF5 library, filled beside it.

HDF5's own writers leave a file that nobody may open while they live (plain), or that only readers
with `swmr=True` may open, for ever so after a kill (single writer, multiple readers; both measured
with HDF5 2.0). Here the library makes a whole, closed file whose one dataset lies in one piece at a
known place (`H5Dget_offset`), still a hole in the file; rows are then written into that place with
plain `pwrite`. The file's structure never changes again, so it is valid at every moment, and a
kill costs no more than the rows not yet written. How many rows count is said by `session.h5`.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from realtime.record.layout import DATA, TableSpec

DATASET = "data"
# Read by HDF5 1.10 and later: the first with virtual datasets.
LIBVER = ("v110", "v110")
_COPY = 1 << 22


def make_part(path: Path, spec: TableSpec, rows: int) -> int:
    """A file of `rows` rows, all of it a hole; returns where its data begins, bytes."""
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_layout(h5py.h5d.CONTIGUOUS)
    create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((rows, *spec.row))
    with h5py.File(path, "w", libver=LIBVER) as file:
        made = h5py.h5d.create(file.id, DATASET.encode(), hdf_type(spec), space, create)
        return int(made.get_offset())


def hdf_type(spec: TableSpec) -> Any:
    """HDF5's name for the type of a table's items."""
    return h5py.h5t.py_create(spec.kind, logical=True)


class Table:
    """One quantity, appended to in memory and written out on `flush`.

    `parts` lists (path relative to the session's folder, rows written, rows it has room for).
    """

    def __init__(self, folder: Path, spec: TableSpec) -> None:
        self.spec, self._folder = spec, folder
        self.parts: list[tuple[str, int, int]] = []
        self._pending = bytearray()
        self._file, self._at = -1, 0

    @property
    def rows(self) -> int:
        """Rows written or pending."""
        return sum(rows for _, rows, _ in self.parts) + len(self._pending) // self._row

    @property
    def _row(self) -> int:
        return max(1, self.spec.row_bytes)

    def append(self, rows: Any) -> None:
        """Take whole rows as bytes, or as an array."""
        self._pending += rows if isinstance(rows, bytes | memoryview) else rows.tobytes()

    def flush(self) -> None:
        """Write what is pending.

        Raises
        ------
        OSError
            If the disk is full or gone; `parts` then still says what is there.
        """
        pending = memoryview(bytes(self._pending))
        self._pending.clear()
        while len(pending):
            if self._file < 0:
                self._open()
            name, rows, room = self.parts[-1]
            piece = pending[: (room - rows) * self._row]
            _write_all(self._file, piece, self._at + rows * self._row)
            rows += len(piece) // self._row
            self.parts[-1] = (name, rows, room)
            pending = pending[len(piece) :]
            if rows == room:
                self._close()

    def finish(self) -> None:
        """Give the last file the size of what it holds: copying a hole costs others its size."""
        self._close()
        name, rows, room = self.parts[-1] if self.parts else ("", 0, 0)
        if rows in (0, room):
            return
        path = self._folder / name
        exact = path.with_suffix(".partial")
        try:
            self._copy(path, exact, rows)
        except OSError:
            # A nearly full disk: nothing is lost, the file with the hole stays.
            exact.unlink(missing_ok=True)
            return
        exact.replace(path)
        self.parts[-1] = (name, rows, rows)

    def _copy(self, path: Path, exact: Path, rows: int) -> None:
        at = make_part(exact, self.spec, rows)
        with path.open("rb") as source, exact.open("r+b") as sink:
            source.seek(self._at)
            sink.seek(at)
            left = rows * self._row
            while left:
                left -= sink.write(source.read(min(left, _COPY)))

    def _open(self) -> None:
        name = f"{DATA}/{self.spec.name.replace('/', '-')}-{len(self.parts):04d}.h5"
        path = self._folder / name
        self._at = make_part(path, self.spec, self.spec.rows_per_file)
        self._file = os.open(path, os.O_WRONLY)
        self.parts.append((name, 0, self.spec.rows_per_file))

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def _write_all(file: int, content: memoryview, at: int) -> None:
    while len(content):
        written = os.pwrite(file, content, at)
        if written == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        content, at = content[written:], at + written


def fill_value(kind: np.dtype[Any]) -> Any:
    """What readers find where a file of the session is missing: NaN where there is one."""
    return np.array(np.nan, kind) if kind.kind == "f" else np.zeros((), kind)
