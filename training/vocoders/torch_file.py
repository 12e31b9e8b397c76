"""Files of `torch.save`, old and new containers, read without torch and without running anything.

new (torch 1.6 on): a ZIP archive of `NAME/data.pkl` and a file of bytes per storage
old: five pickles one after another (magic number, version, system, object, keys), then per key the
number of values and their bytes

The published WaveGlow checkpoints are from before torch 1.6.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from training.vocoders.errors import CheckpointError
from training.vocoders.inert import InertUnpickler, Storage

_MAGIC = 0x1950A86A20F9469CFC6C
# Whatever a damaged pickle makes Python's unpickler raise.
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError, KeyError),
    *(IndexError, ImportError, OverflowError, MemoryError, RecursionError, struct.error),
    *(zipfile.BadZipFile, NotImplementedError),
)


def read_torch_file(path: Path) -> Any:
    """What was saved: containers, numbers, `Stored` tensors, `Shell` modules.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, no file of torch, or names code.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist", "a checkpoint file", "check the path")
    try:
        return _read_zip(path) if _is_zip(path) else _read_old(path)
    except _DAMAGE as err:
        raise CheckpointError(
            f"{path} cannot be read ({str(err).splitlines()[0] if str(err) else type(err)})",
            "a file that torch.save wrote",
            "download or copy it again",
        ) from err


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if any(name.endswith("/constants.pkl") for name in names):
            raise CheckpointError(
                f"{path} is a TorchScript program", "weights", "save its state dict, without code"
            )
        found = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(found) != 1:
            raise CheckpointError(f"{path} is a ZIP with {len(found)} data.pkl", "one, as torch's")
        root = found[0].removesuffix("data.pkl")
        if root + "byteorder" in names and archive.read(root + "byteorder") != b"little":
            raise CheckpointError(f"{path} was written on a big-endian machine", "little-endian")

        def place(pid: tuple[Any, ...]) -> Storage:
            _, kind, key, _, count = pid[:5]
            info = archive.getinfo(f"{root}data/{key}")
            if info.file_size < count * kind.dtype.itemsize:
                raise CheckpointError(
                    f"{path}: storage {key} has {info.file_size} bytes",
                    f"{count * kind.dtype.itemsize}",
                    "download or copy it again",
                )
            return Storage(kind, count, lambda: _of_archive(path, info.filename))

        with archive.open(found[0]) as file:
            return InertUnpickler(file, path.name, place).load()


def _of_archive(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def _read_old(path: Path) -> Any:
    with path.open("rb") as file:
        if file.read(1) != b"\x80":
            raise CheckpointError(f"{path} is no file of torch", "a checkpoint of WaveGlow")
        file.seek(0)
        magic, _, system = (InertUnpickler(file, path.name).load() for _ in range(3))
        if magic != _MAGIC:
            raise CheckpointError(f"{path} is no file of torch", "a checkpoint of WaveGlow")
        if not system.get("little_endian", True):
            raise CheckpointError(f"{path} was written on a big-endian machine", "little-endian")
        places = _Places(path)
        found = InertUnpickler(file, path.name, places.place).load()
        places.locate(file, InertUnpickler(file, path.name).load())
        return found


class _Places:
    """Where the storages of an old file lie, known only after its object was read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes: dict[str, int] = {}
        self._at: dict[str, int] = {}

    def place(self, pid: tuple[Any, ...]) -> Storage:
        _, kind, key, _, count = pid[:5]
        self._bytes[key] = count * kind.dtype.itemsize
        return Storage(kind, count, self._reader(key))

    def locate(self, file: IO[bytes], keys: list[str]) -> None:
        """Find every storage behind the pickles; a number of values precedes each."""
        size = self._path.stat().st_size
        for key in keys:
            struct.unpack("<q", file.read(8))
            self._at[key] = file.tell()
            if self._at[key] + self._bytes[key] > size:
                raise CheckpointError(
                    f"{self._path} is truncated at {size} bytes",
                    "all of its storages",
                    "download or copy it again",
                )
            file.seek(self._bytes[key], 1)

    def _reader(self, key: str) -> Callable[[], bytes]:
        def read() -> bytes:
            with self._path.open("rb") as file:
                file.seek(self._at[key])
                return file.read(self._bytes[key])

        return read
