"""Streams of an NWB file: every series of what was acquired and shown, and tables of events.

sEEG (an ElectricalSeries, or a series called iEEG) is sent in microvolts; other numbers as they
are stored. A series of words, one a sample, tells where they change: `start;house`, `end;house`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import RecordingError
from realtime.recordings.amplitude import Unit
from realtime.recordings.nwb_seeg import labels_of, microvolts
from realtime.recordings.nwb_series import opened as opened_nwb
from realtime.recordings.nwb_series import text_of
from realtime.recordings.sidecars import cell, channels_of
from realtime.recordings.xdf_index import JUMP_S
from tools.faults.source import Blocks, Times
from tools.replay.describe import description
from tools.replay.marks import Mark, marker_stream, marks_of
from tools.replay.streams import FORMATS, About, Opened, RecordedStream, rising

_PLACES = ("acquisition", "stimulus/presentation")
_VALUES = 1 << 18
_WIDER = {"uint8": "int16", "uint16": "int32", "uint32": "int64", "float16": "float32"}


def open_nwb(file: Path, unit: Unit | None) -> Opened:
    """Open an NWB file.

    Parameters
    ----------
    unit : of the values of sEEG, instead of what the file says.

    Raises
    ------
    RecordingError
        If it is damaged, has no series, or its sEEG has no unit or no names.
    MissingExtraError
        Without the extra `formats`.
    """
    opened = Opened([])
    nwb = opened.files.enter_context(opened_nwb(file))
    try:
        found = list(_series(nwb))
        opened.streams += [stream for one in found for stream in one.streams(file, unit)]
        opened.notes += [note for one in found for note in one.notes]
        opened.streams += _listed(file, found) + _tables(nwb)
    except BaseException:
        opened.files.close()
        raise
    if not opened.streams:
        opened.files.close()
        raise RecordingError(
            f"{file} holds no series", f"time series with data in {' or '.join(_PLACES)}"
        )
    return opened


@dataclass(frozen=True)
class _Series:
    """One time series of the file."""

    nwb: Any
    group: Any
    name: str
    kind: str
    notes: list[str]

    def streams(self, file: Path, unit: Unit | None) -> list[RecordedStream]:
        data = self.group["data"]
        if data.dtype.kind in "OSU":
            return self._words(data)
        if self.is_seeg and data.ndim == 2:
            return [self._seeg(file, data, unit)]
        return [self._numbers(data)]

    @property
    def is_seeg(self) -> bool:
        return self.kind == "ElectricalSeries" or self.name == "iEEG"

    @property
    def clock(self) -> _Clock:
        return _Clock.of(self.group, self.name)

    def _seeg(self, file: Path, data: Any, unit: Unit | None) -> RecordedStream:
        factor, offset, notes = microvolts(self.group, data, file, unit)
        self.notes.extend(notes)
        names = labels_of(self.nwb, self.group, file, data.shape[1])
        rows = channels_of(file)
        types = [cell(rows.get(name, {}), "type") or "SEEG" for name in names]
        about = self._about(
            "EEG", "float32", len(names), description(names, ["microvolts"] * len(names), types)
        )

        def read(start: int, stop: int) -> Any:
            return (data[start:stop] * factor + offset).astype(np.float32)

        return self._stream(about, len(data), read)

    def _numbers(self, data: Any) -> RecordedStream:
        kind = _WIDER.get(data.dtype.name, data.dtype.name)
        if kind not in FORMATS or data.ndim > 2:
            raise RecordingError(
                f"series '{self.name}' holds {data.dtype} of shape {data.shape}",
                f"numbers that LSL has ({', '.join(FORMATS)}), of one or two dimensions",
            )
        columns = 1 if data.ndim == 1 else data.shape[1]
        stated = text_of(data.attrs.get("unit", ""))
        labels = [self.name] if columns == 1 else [f"{self.name}-{i + 1}" for i in range(columns)]
        desc = description(labels, [stated] * columns, [""] * columns)
        sound = "audio" in self.name.casefold() or self.kind == "AcousticWaveformSeries"
        about = self._about("Audio" if sound else "Misc", FORMATS[kind], columns, desc)

        def read(start: int, stop: int) -> Any:
            return np.asarray(data[start:stop]).astype(kind).reshape(stop - start, columns)

        return self._stream(about, len(data), read)

    def _about(self, kind: str, form: str, channels: int, desc: Any) -> About:
        rate = self.clock.rate_hz
        return About(self.name, kind, f"seegvox-{self.name}", form, channels, rate, desc)

    def _stream(self, about: About, rows: int, read: Any) -> RecordedStream:
        clock, each = self.clock, max(1, _VALUES // about.channels)
        count = clock.count(rows)
        if count < rows:
            self.notes.append(f"{self.name} has {rows} samples but {count} timestamps; cropped")

        def pieces(first: int) -> Iterator[tuple[Any, Times]]:
            for start in range(first, count, each):
                stop = min(start + each, count)
                yield read(start, stop), clock.times(start, stop)

        def blocks(since_s: float) -> Blocks:
            return rising(pieces(clock.before(since_s, count)))

        first, last, trouble = clock.span(self.name, count)
        return RecordedStream(about, count, first, last, blocks, trouble=trouble)

    def _words(self, data: Any) -> list[RecordedStream]:
        """Words that are shown for a while, one a sample; or notes, one each."""
        clock = self.clock
        if self.kind == "AnnotationSeries":
            rows = [(float(t), 0.0, text_of(w)) for t, w in zip(clock.all(), data, strict=False)]
            return [marker_stream(self.name, rows)]
        return [marker_stream(self.name, list(_shown(data, clock)))]


@dataclass(frozen=True)
class _Clock:
    """When the samples of a series were taken: by timestamps, or from a start at a rate."""

    stamps: Any
    start_s: float
    rate_hz: float

    @staticmethod
    def of(group: Any, name: str) -> _Clock:
        if "timestamps" in group:
            stamps = group["timestamps"]
            return _Clock(stamps, float(stamps[0]) if len(stamps) else 0.0, _typical_hz(stamps))
        start = group.get("starting_time")
        rate = 0.0 if start is None else float(start.attrs.get("rate", 0))
        if not rate > 0:
            raise RecordingError(
                f"series '{name}' has neither timestamps nor a rate", "one of them"
            )
        return _Clock(None, float(start[()]), rate)

    def count(self, rows: int) -> int:
        return rows if self.stamps is None else min(rows, len(self.stamps))

    def times(self, start: int, stop: int) -> Times:
        if self.stamps is not None:
            return np.asarray(self.stamps[start:stop], np.float64)
        return self.start_s + np.arange(start, stop) / self.rate_hz

    def all(self) -> Times:
        return self.times(0, len(self.stamps)) if self.stamps is not None else np.zeros(0)

    def before(self, time_s: float, count: int) -> int:
        """A sample before a time, not far from it."""
        if time_s <= self.start_s:
            return 0
        if self.stamps is None:
            return min(count, max(0, int((time_s - self.start_s) * self.rate_hz) - 1))
        latest = 0
        for start in range(0, count, _VALUES):
            if float(self.stamps[start]) >= time_s:
                break
            latest = start
        return latest

    def span(self, name: str, count: int) -> tuple[float, float, RecordingError | None]:
        """Earliest and latest time; and what is wrong with timestamps that step back."""
        if not count:
            return np.nan, np.nan, None
        if self.stamps is None:
            return self.start_s, float(self.times(count - 1, count)[0]), None
        latest, trouble = -np.inf, None
        for start in range(0, count, _VALUES):
            times = self.times(start, min(start + _VALUES, count))
            steps = np.diff(times, prepend=times[0] if latest == -np.inf else latest)
            if trouble is None and steps.min() < -JUMP_S:
                at = start + int(steps.argmin())
                trouble = RecordingError(
                    f"the timestamps of series '{name}' step back by {-steps.min():.3f} s at "
                    f"sample {at}",
                    "rising timestamps",
                    "leave the series out with --streams, or correct them",
                )
            latest = float(times[-1])
        return self.start_s, latest, trouble


def _typical_hz(stamps: Any) -> float:
    """The rate that the median step has; 0 where steps are of any length."""
    steps = np.diff(np.asarray(stamps[:4096], np.float64))
    usual = float(np.median(steps)) if len(steps) > 1 else 0.0
    if not usual > 0 or np.mean(np.abs(steps - usual) > 0.5 * usual) > 0.1:
        return 0.0
    # A single step of timestamps of a million seconds is good to 4 Hz in 48 kHz only.
    rate = len(steps) / float(steps.sum())
    rate = rate if abs(rate * usual - 1) < 0.01 else 1 / usual
    return float(round(rate)) if abs(round(rate) - rate) < 1e-4 * rate else rate


def _series(nwb: Any) -> Iterator[_Series]:
    for place in _PLACES:
        for name, group in nwb.get(place, {}).items():
            if hasattr(group, "get") and hasattr(group.get("data"), "shape"):
                kind = text_of(group.attrs.get("neurodata_type", ""))
                yield _Series(nwb, group, name, kind, [])


def _shown(data: Any, clock: _Clock) -> Iterator[Mark]:
    shown, since = "", 0.0
    count = clock.count(len(data))
    for start in range(0, count, _VALUES // 16):
        stop = min(start + _VALUES // 16, count)
        times = clock.times(start, stop)
        for word, now in zip(map(text_of, data[start:stop]), times.tolist(), strict=True):
            if word != shown:
                if shown:
                    yield since, now - since, shown
                shown, since = word, now
    if shown:
        yield since, float(clock.times(count - 1, count)[0]) - since, shown


def _listed(file: Path, found: list[_Series]) -> list[RecordedStream]:
    """events.tsv, whose onsets count from the first sample of sEEG; unless the file has words."""
    if any(one.group["data"].dtype.kind in "OSU" for one in found):
        return []
    start = next((one.clock.start_s for one in found if one.is_seeg), 0.0)
    marks = marks_of(file, [])
    return [marker_stream(f"{file.stem}-markers", marks, start)] if marks else []


def _tables(nwb: Any) -> list[RecordedStream]:
    """Tables of events with a column of text."""
    out = []
    for name, table in nwb.get("events", {}).items():
        text = next((c for c in ("annotation", "value", "label") if c in table), None)
        if hasattr(table, "get") and "timestamp" in table and text is not None:
            times = np.asarray(table["timestamp"][:], np.float64).tolist()
            words = [text_of(word) for word in table[text][:]]
            rows = [(t, 0.0, w) for t, w in zip(times, words, strict=True)]
            out.append(marker_stream(name, rows))
    return out
