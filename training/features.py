"""Front-end features of parts of a recording, kept in files named by what they were made from.

A file's name is the SHA-256 of everything the features depend on: the samples of the part, rate,
contacts, front-end spec, training statistics, and the source of the front end itself. A changed
recording, setting or program never meets an old file; the folder may be deleted at any time. Files
appear by renaming, so two processes may make the same one at once and a killed one leaves none.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np

import models
from models.errors import SettingsError
from models.frontend import FrontEnd, Statistics, fit_statistics
from models.spec import BundleSpec
from models.streaming import Floats

_BLOCK = 8192
_SOURCES = (
    "filters",
    "frontend",
    "guard",
    "moments",
    "montage",
    "normalise",
    "reference",
    "spec",
)


class FeatureStore:
    """Features and statistics by the front end of a spec.

    Parameters
    ----------
    spec : contacts, rate and front end.
    folder : where files are kept; None computes in memory each time.
    """

    def __init__(self, spec: BundleSpec, folder: Path | None = None) -> None:
        self._spec, self._folder = spec, folder

    def statistics(self, parts: Sequence[Floats]) -> Statistics:
        """Of the front end's unscaled output over training parts `(samples, contacts)`."""
        path = self._path("statistics", parts)
        if path is not None and path.exists():
            return Statistics(*np.load(path, allow_pickle=False))
        found = fit_statistics(self._front_end(), parts)
        if path is not None:
            with _whole(path) as stream:
                np.save(stream, np.stack([found.mean, found.std]))
        return found

    def features(self, part: Floats, statistics: Statistics) -> Floats:
        """`(samples, channels)` of one part from a cold start; mapped from its file if kept.

        Raises
        ------
        SettingsError
            If the folder cannot be written.
        """
        front_end = self._front_end(statistics)
        path = self._path("features", [part], statistics)
        if path is None:
            return np.concatenate([*_blocks(front_end, part), front_end.step(part[:0])])
        if not path.exists():
            shape = (len(part), front_end.channels)
            with _whole(path) as stream:
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
                for block in _blocks(front_end, part):
                    stream.write(block.astype("<f4", copy=False).tobytes())
        mapped: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped

    def _front_end(self, statistics: Statistics | None = None) -> FrontEnd:
        spec = self._spec
        return FrontEnd(spec.front_end, spec.contacts, spec.fs_hz, statistics)

    def _path(
        self, what: str, parts: Sequence[Floats], statistics: Statistics | None = None
    ) -> Path | None:
        if self._folder is None:
            return None
        spec = self._spec
        made_from = {
            "what": what,
            "source": _source_hash(),
            "fs": str(spec.fs_hz),
            "contacts": spec.contacts,
            "front_end": spec.front_end.model_dump(mode="json"),
            "lengths": [len(part) for part in parts],
        }
        digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode())
        if statistics is not None:
            digest.update(statistics.mean.tobytes())
            digest.update(statistics.std.tobytes())
        for part in parts:
            for start in range(0, len(part), _BLOCK):
                digest.update(part[start : start + _BLOCK].astype("<f4", copy=False).tobytes())
        return self._folder / f"{what}-{digest.hexdigest()}.npy"


def _blocks(front_end: FrontEnd, part: Floats) -> Iterator[Floats]:
    for start in range(0, len(part), _BLOCK):
        yield front_end.step(np.asarray(part[start : start + _BLOCK]))


@cache
def _source_hash() -> str:
    """Of the program that makes the features."""
    folder = Path(models.__file__).parent
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((folder / f"{name}.py").read_bytes())
    return digest.hexdigest()


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A stream to a temporary sibling with a name of its own, renamed when it is complete."""
    partial: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(".partial", f".{path.stem[:24]}-", path.parent)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as err:
        raise SettingsError(
            f"features cannot be kept in {path.parent} ({err.strerror or err})",
            "room on the disk and the right to write there",
            "set feature_cache to another folder, or delete old files there",
        ) from err
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
