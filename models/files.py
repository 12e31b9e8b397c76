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
            "choose another path, or give --overwrite where the command has it",
        )


def _refuse_other_kind(path: Path, folder: bool) -> None:
    """Overwriting replaces like with like: a mistyped path must not cost a file or a folder."""
    if path.exists() and path.is_dir() != folder:
        wanted, found = ("a folder", "a file") if folder else ("a file", "a folder")
        raise BusyOutputError(
            f"{path} exists already and is {found}",
            f"{wanted} or a new path",
            "choose another path",
        )


@contextmanager
def new_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place only if the block succeeds.

    Raises
    ------
    BusyOutputError
        As `refuse_busy`; also if `path` is a file, even with `overwrite`.
    """
    refuse_busy(path, overwrite)
    _refuse_other_kind(path, folder=True)
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
    """A temporary file beside `path` that takes its place only if the block succeeds.

    Raises
    ------
    BusyOutputError
        As `refuse_busy`; also if `path` is a folder, even with `overwrite`.
    """
    refuse_busy(path, overwrite)
    _refuse_other_kind(path, folder=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
