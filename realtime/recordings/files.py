"""Every file that a recording came from, and one hash of them all.

A BrainVision header is a page of text: that the same header was read says nothing about the
samples. What counts as the same recording is the content of all that was read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from models.files import sha256
from realtime.recordings.brainvision import files_of
from realtime.recordings.options import Options
from realtime.recordings.sidecars import sidecar

_BESIDE = {".eeg": (".pnt", ".log", ".21e"), ".set": (".fdt",), ".lay": (".dat",)}
"""Files of the same name that hold part of a recording: Nihon Kohden, EEGLAB, Persyst."""
_SIDECARS = (("channels", ".tsv"), ("events", ".tsv"), ("ieeg", ".json"))


def files_read(file: Path, options: Options, parts: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The file itself, its parts, its sidecars, and what the options name instead.

    Parameters
    ----------
    file : what was named or found.
    parts : files that the library which read it says it came from.
    """
    sidecars = [sidecar(file, kind, suffix) for kind, suffix in _SIDECARS]
    if options.events is not None:
        sidecars[1] = options.events
    sound = [] if options.audio is None else [options.audio]
    every = [file, *_companions(file), *parts, *sidecars, *sound]
    # A library tells paths as it likes; one file must not count twice.
    return tuple(dict.fromkeys(path.resolve() for path in every if path.exists()))


def content_sha256(files: Sequence[Path]) -> str:
    """Hex digest of the contents of files, in their order; of one file it is that file's own.

    Names do not count: a copied or renamed recording is the same recording.
    """
    digests = [sha256(part) for path in files for part in _within(path)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _companions(file: Path) -> list[Path]:
    """Files that belong to it by its format: named in it, or beside it by its name."""
    if file.suffix.lower() == ".vhdr":
        return files_of(file)
    wanted = _BESIDE.get(file.suffix.lower(), ())
    beside = file.parent.iterdir() if wanted else ()
    return sorted(p for p in beside if p.stem == file.stem and p.suffix.lower() in wanted)


def _within(path: Path) -> list[Path]:
    """A file, or all files of a folder (MEF3 is one)."""
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if part.is_file())
    return [path]
