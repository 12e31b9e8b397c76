"""Which files a command line means, and where each result goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from models.errors import RecordingError

Found = list[tuple[Path, Path]]


def found_files(given: Sequence[Path], out: Path) -> tuple[Found, bool]:
    """Files to decode, each with its folder; and whether it is a single one that was named itself.

    A file that was named alone goes into `out` itself; several, or those of a folder, into folders
    within it, named as they are.

    Raises
    ------
    RecordingError
        If a path does not exist, or a folder holds nothing to decode.
    """
    if len(given) == 1 and _is_one(given[0]):
        return [(given[0], out)], True
    found: Found = []
    taken: set[str] = set()
    for path in given:
        for file, name in _within(path):
            unique = _unique(name, taken)
            taken.add(unique)
            found.append((file, out / unique))
    return found, False


def _is_one(path: Path) -> bool:
    from realtime.redecode.session import is_session

    return not path.is_dir() or is_session(path) or path.suffix.lower() == ".mefd"


def _within(path: Path) -> Iterator[tuple[Path, str]]:
    """Files to decode, and their names as folders."""
    if not path.exists():
        raise RecordingError(f"{path} does not exist", "a session, a recording or a folder of them")
    if _is_one(path):
        yield path, path.name if path.is_dir() else path.stem
        return
    files = sorted(_searched(path))
    if not files:
        raise RecordingError(
            f"{path} holds nothing to decode",
            "sessions or recordings (.xdf, .nwb, .edf, .vhdr, ...)",
            "name the files themselves",
        )
    for file in files:
        inside = file.relative_to(path)
        yield file, str(inside if file.is_dir() else inside.with_suffix(""))


def _searched(folder: Path) -> Iterator[Path]:
    """Sessions and recordings below a folder; nothing hidden, nothing within a session."""
    from realtime.redecode.series import SUFFIXES
    from realtime.redecode.session import is_session

    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in SUFFIXES:
            yield path
        elif path.is_dir():
            yield from [path] if is_session(path) else _searched(path)


def _unique(name: str, taken: set[str]) -> str:
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    return unique
