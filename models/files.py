"""Files that are there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import BusyOutputError


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def refuse_busy(path: Path, overwrite: bool = False) -> None:
    """Refuse an output that exists.

    Raises
    ------
    BusyOutputError
        If `path` is a file or a folder that is not empty, and overwriting was not asked for.
    """
    busy = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if busy and not overwrite:
        raise BusyOutputError(
            f"{path} exists already",
            "a new path",
            "choose another, or say --overwrite to replace it",
        )


@contextmanager
def new_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place only if the block succeeds."""
    refuse_busy(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if path.is_dir():
            shutil.rmtree(path)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def new_file(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place only if the block succeeds."""
    refuse_busy(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
