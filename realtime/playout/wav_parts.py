"""What a player that died left of its WAV file: kept, completed, under a name of its own.

A WAV file says in its header how long it is, which is known at its end only; one that was not
closed says that it is empty, though the audio is there.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

# Of the header that Python's `wave` writes: where the sizes stand, and where audio begins.
_RIFF_SIZE_AT, _DATA_SIZE_AT, _HEADER = 4, 40, 44
_LARGEST = 2**32 - 1


def keep_part(part: Path, path: Path) -> Path | None:
    """Give an unfinished file of `path` its sizes and the next free name, `NAME-1.wav`...

    Returns where it is now; None if there was none, or no audio in it.
    """
    if not part.exists() or part.stat().st_size <= _HEADER:
        return None
    _complete(part)
    kept = _free_name(path)
    os.replace(part, kept)
    return kept


def _complete(part: Path) -> None:
    size = min(part.stat().st_size, _LARGEST)
    with part.open("r+b") as file:
        head = file.read(_HEADER)
        if (head[:4], head[8:12], head[36:40]) != (b"RIFF", b"WAVE", b"data"):
            # Not ours to repair; it keeps its bytes and gets out of the way.
            return
        for at, value in ((_RIFF_SIZE_AT, size - 8), (_DATA_SIZE_AT, size - _HEADER)):
            file.seek(at)
            file.write(struct.pack("<I", value))


def _free_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return kept
