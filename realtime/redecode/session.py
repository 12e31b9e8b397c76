"""The pulls that a session recorded, and what it was decoded with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError, SettingsError
from models.streaming import Floats
from realtime.record.layout import INDEX
from realtime.record.reading import ending, json_lines, labels, open_session
from realtime.redecode.pulls import Pull, masked
from realtime.settings import LiveSettings

DECODED = "decoded"
"""How a folder that `decode` wrote ended; it holds no samples of its own."""
_ROWS, _BLOCKS = 1 << 14, 1 << 16


def is_session(path: Path) -> bool:
    """Whether a path is the folder of a session."""
    return (path / INDEX).is_file()


@dataclass(frozen=True)
class Session:
    """A recorded session, to be decoded again.

    `about` is what it says of itself, `contacts` its columns, `samples` how many there are, `ended`
    how it ended; `lacking` counts samples that were decoded and that the record lost.
    """

    folder: Path
    about: dict[str, Any]
    contacts: tuple[str, ...]
    fs_hz: float
    samples: int
    hops: int
    ended: str
    lacking: int
    lacking_from: float

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings it ran with, as plain values.

        Raises
        ------
        RecordingError
            If it does not say.
        """
        raw = self.about.get("settings")
        if not isinstance(raw, dict):
            raise RecordingError(
                f"{self.folder} does not say with what settings it ran",
                "a session of `seegvox live`",
                "decode its samples as a recording: export them with `seegvox session export`",
            )
        return raw

    def live_settings(self, **changes: Any) -> LiveSettings:
        """Its settings with some changed.

        Raises
        ------
        SettingsError
            If this version does not know one of them.
        """
        from models.toml import validated

        return validated(LiveSettings, {**self.settings, **changes}, f"{self.folder}, settings")

    def pulls(self, columns: NDArray[np.intp], unused: NDArray[np.bool_]) -> Iterator[Pull]:
        """Every pull of the session, read in pieces.

        Parameters
        ----------
        columns : `(contacts,)`, the session's column of each contact of the bundle.
        unused : `(contacts,)`, True for contacts to leave out.
        """
        with open_session(self.folder) as file:
            window = _Window(file, columns, unused)
            said = _Said.of(file, self.settings)
            blocks = file["seeg/blocks"]
            for start in range(0, len(blocks), _BLOCKS):
                part = blocks[start : start + _BLOCKS]
                streams, gains = said.at(part, start)
                columns_of = (part["row"].tolist(), part["count"].tolist(), streams, gains)
                times = part["available"].tolist()
                for time, row, count, stream, gain in zip(times, *columns_of, strict=True):
                    yield Pull(*window.rows(row, count), time, stream, gain)


def open_recorded(folder: Path) -> Session:
    """A session's folder.

    Raises
    ------
    RecordingError
        If it is none, or holds no samples.
    """
    with open_session(folder) as file:
        samples, blocks = len(file["seeg/samples"]), file["seeg/blocks"]
        about = json.loads(file["about"][()])
        if not samples:
            again = about.get(DECODED, {}).get("file")
            raise RecordingError(
                f"{folder} holds no sEEG"
                + (f": it was itself decoded from {again}" if again else ""),
                "a session with its samples",
                f"decode {again}" if again else "choose another",
            )
        lacking, since = _lacking(blocks)
        return Session(
            folder=folder,
            about=about,
            contacts=tuple(labels(file)),
            fs_hz=float(file.attrs["fs_hz"]),
            samples=samples,
            hops=len(file["hops/times"]),
            ended=ending(file.attrs),
            lacking=lacking,
            lacking_from=since,
        )


def _lacking(blocks: h5py.Dataset) -> tuple[int, float]:
    """Samples received and not recorded, and the LSL time of the first block after such."""
    rows = blocks.fields(["available", "first", "row", "count"])[()]
    missed = rows["first"] - rows["row"]
    late = np.flatnonzero(missed > 0)
    return (int(missed.max()), float(rows["available"][late[0]])) if len(late) else (0, np.nan)


class _Window:
    """Rows of the samples, some thousands read at once."""

    def __init__(
        self, file: h5py.File, columns: NDArray[np.intp], unused: NDArray[np.bool_]
    ) -> None:
        self._samples, self._stamps = file["seeg/samples"], file["seeg/timestamps"]
        self._columns, self._unused = columns, unused
        self._start = self._stop = 0
        self._rows: Floats = np.zeros((0, len(columns)), np.float32)
        self._times = np.zeros(0)

    def rows(self, first: int, count: int) -> tuple[Floats, NDArray[np.float64]]:
        """`count` rows from `first` on, and their stamps."""
        if count and not self._start <= first <= first + count <= self._stop:
            self._start, self._stop = first, min(first + max(_ROWS, count), len(self._samples))
            part = slice(self._start, self._stop)
            self._rows = masked(self._samples[part], self._columns, self._unused)
            self._times = self._stamps[part]
        part = slice(first - self._start, first - self._start + count) if count else slice(0, 0)
        return self._rows[part], self._times[part]


@dataclass(frozen=True)
class _Said:
    """Stream and gain of each pull: in its row, or in layout 1 by the times of events."""

    connected: NDArray[np.float64]
    gain_times: NDArray[np.float64]
    gains: list[float]
    next_available: NDArray[np.float64] | None

    @classmethod
    def of(cls, file: h5py.File, settings: dict[str, Any]) -> _Said:
        blocks = file["seeg/blocks"]
        if "gain_db" in (blocks.dtype.names or ()):
            return cls(np.zeros(0), np.zeros(0), [], None)
        events = json_lines(file["events"])
        told = [event for event in events if event["event"] == "gain"]
        first = float(settings.get("limiter", {}).get("gain_db", 0.0))
        return cls(
            np.array([e["time"] for e in events if e["event"] == "connected"], float),
            np.array([e["time"] for e in told], float),
            [first, *(float(e["gain_db"]) for e in told)],
            np.append(blocks.fields("available")[()][1:], np.inf),
        )

    def at(self, part: NDArray[np.void], start: int) -> tuple[list[int], list[float]]:
        """Streams and gains of blocks from `start` on."""
        if self.next_available is None:
            return part["stream"].tolist(), part["gain_db"].tolist()
        streams = np.searchsorted(self.connected, part["available"], "right")
        # Obeyed after a pull and before its block was decoded: in time before the next one.
        following = self.next_available[start : start + len(part)]
        places = np.searchsorted(self.gain_times, following, "left")
        return streams.tolist(), [self.gains[place] for place in places.tolist()]


def refuse_options(options: dict[str, Any]) -> None:
    """What cannot be said of a session, which knows it.

    Raises
    ------
    SettingsError
        If any of it is given.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise SettingsError(
            f"{' and '.join('--' + name for name in given)} for a session",
            "its own samples, as they came",
            "leave it out",
        )
