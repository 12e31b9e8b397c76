"""A session read back: while it runs, after its end, or after its processes were killed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from models.streaming import Floats
from realtime.plain import plain
from realtime.record.layout import FORMAT, INDEX, READABLE

T = TypeVar("T")
# The recorder puts an index in place four times a second.
_FRESH_S = 5.0


@dataclass(frozen=True)
class Run:
    """A session read back, hop by hop; what takes much memory is read when it is asked for.

    `hops` are of dtype `realtime.record.layout.HOP`; `mel` `(hops, 80)`; `audio` `(n,)`, 16 kHz, as
    handed to playout; `dac` each hop's DAC time, LSL clock, NaN if unknown.
    """

    about: dict[str, Any]
    events: list[dict[str, Any]]
    hops: NDArray[np.void]
    mel: Floats
    audio: Floats
    dac: NDArray[np.float64]
    folder: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the recorder says: `started_utc`, `started_lsl_s`, `fs_hz`, `ended`, `dropped_*`."""
        return _read(self.folder, lambda file: plain(dict(file.attrs)))

    @cached_property
    def contacts(self) -> list[str]:
        """Labels of the sEEG's columns."""
        return _read(self.folder, labels)

    @cached_property
    def samples(self) -> Floats:
        """The sEEG as received, `(n, contacts)` float32, microvolts; all of it into memory."""
        return _read(self.folder, lambda file: file["seeg/samples"][()])

    @cached_property
    def timestamps(self) -> NDArray[np.float64]:
        """The sender's LSL time of each sample, `(n,)`, s."""
        return _read(self.folder, lambda file: file["seeg/timestamps"][()])

    @cached_property
    def blocks(self) -> NDArray[np.void]:
        """What each pull brought, dtype `realtime.record.layout.BLOCK`; version 1 has less."""
        return _read(self.folder, lambda file: file["seeg/blocks"][()])

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Which contacts were masked in each hop, `(hops, contacts)`."""
        packed = _read(self.folder, lambda file: file["hops/mask"][()])
        return np.unpackbits(packed, axis=1, count=len(self.contacts)).astype(bool)

    @cached_property
    def markers(self) -> list[dict[str, Any]]:
        """Markers of LSL streams: `time` (local LSL clock, s), `stamp`, `stream`, `values`."""
        return _read(self.folder, lambda file: json_lines(file["markers"]))

    @cached_property
    def marker_streams(self) -> list[dict[str, Any]]:
        """The streams that markers came from."""
        return _read(self.folder, lambda file: json_lines(file["marker_streams"]))

    @cached_property
    def played(self) -> Floats:
        """Audio as the device took it, `(n,)`; its rate is in `played_times`."""
        return _read(self.folder, lambda file: file["audio/played"][()])

    @cached_property
    def played_times(self) -> NDArray[np.void]:
        """Each write to the device, dtype `realtime.record.layout.PLAYED`."""
        return _read(self.folder, lambda file: file["audio/played_times"][()])


def _read(folder: Path, what: Callable[[h5py.File], T]) -> T:
    with open_session(folder) as file:
        return what(file)


@contextmanager
def open_session(folder: Path) -> Iterator[h5py.File]:
    """The session's `session.h5`, open for reading.

    Raises
    ------
    RecordingError
        If there is none, it is another program's or a later version's, or a file of it is missing.
    """
    try:
        file = h5py.File(folder / INDEX, "r")
    except OSError as err:
        why = "there is none" if not (folder / INDEX).exists() else err
        raise RecordingError(
            f"{folder} is no session ({INDEX}: {why})",
            "the folder of a session",
            "give the --out of `seegvox live`",
        ) from err
    with file:
        _check(folder, file)
        yield file


def _check(folder: Path, file: h5py.File) -> None:
    found = (file.attrs.get("format"), file.attrs.get("version"))
    if found[0] != FORMAT or found[1] not in READABLE:
        raise RecordingError(
            f"{folder / INDEX} says it is {found[0] or 'nothing'} {found[1] or ''}".rstrip(),
            f"{FORMAT} {' or '.join(map(str, READABLE))}",
            "read it with the version of seegvox that wrote it",
        )
    lacking = sorted(name for name in _sources(file) if not (folder / name).exists())
    if lacking:
        # HDF5 itself would hand out its fill value instead.
        raise RecordingError(
            f"{folder} lacks {len(lacking)} of its files: {', '.join(lacking[:4])}",
            f"{INDEX} with the whole folder data/ beside it",
            "copy the session's folder whole",
        )


def _sources(file: h5py.File) -> set[str]:
    names: set[str] = set()

    def collect(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.is_virtual:
            names.update(source.file_name for source in item.virtual_sources())

    file.visititems(collect)
    return names


def read_run(folder: Path) -> Run:
    """Read a session's folder, also one whose processes died: as much as is there whole.

    Raises
    ------
    RecordingError
        If it is no session.
    """
    with open_session(folder) as file:
        hops = file["hops/times"][()]
        return Run(
            about=json.loads(file["about"][()]),
            events=json_lines(file["events"]),
            hops=hops,
            mel=file["mel"][()],
            audio=file["audio/handed"][()],
            dac=_dac(file, hops["index"]),
            folder=folder,
        )


def _dac(file: h5py.File, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """When each hop reached the DAC, by its number: a cold start leaves numbers out."""
    told = file["dac"][()]
    row = np.searchsorted(index, told["hop"])
    known = np.isin(told["hop"], index)
    dac = np.full(len(index), np.nan)
    dac[row[known]] = told["time"][known]
    return dac


def json_lines(data: h5py.Dataset) -> list[dict[str, Any]]:
    """The lines of a text table."""
    return [json.loads(line) for line in data[()].tobytes().splitlines()]


def labels(file: h5py.File) -> list[str]:
    """Labels of the sEEG's columns."""
    return [name.decode() for name in file["seeg/contacts"][()] if name]


def ending(attributes: Any, now: float | None = None) -> str:
    """How a session ended: `closed`, `decoder died`, `running`, `cut off`, or why it failed."""
    if attributes["ended"]:
        return str(attributes["ended"])
    age = (time.time() if now is None else now) - float(attributes["written_utc"])
    return "running" if age < _FRESH_S else "cut off"
