"""Streams of a session of our own: sEEG as it came, markers, events, and the audio as played.

The sEEG keeps its packets: each is due when the live run received it, with the stamps it had, so
that bursts, stalls and jumps of its clock are those of the day. All times are on the local LSL
clock of that day.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from realtime.record.reading import ending, json_lines, labels, open_session
from realtime.record.stretches import Stretch, played_stretches, usual_offset
from tools.faults.source import Block, Blocks, Times
from tools.replay.describe import description
from tools.replay.streams import STRING, About, Opened, RecordedStream, of_events, rising

_BLOCKS, _ROWS = 256, 1 << 16
_MAKER = "seegvox (replay of a session)"


def open_recorded(folder: Path) -> Opened:
    """Open a session's folder, also one that was cut off.

    Raises
    ------
    RecordingError
        If it is no session.
    """
    opened = Opened([])
    file = opened.files.enter_context(open_session(folder))
    try:
        opened.streams += [_seeg(file), *_markers(file), _events(folder, file)]
        if played := played_stretches(file):
            opened.streams.append(_played(folder, file, played))
        how = ending(file.attrs)
        if how != "closed":
            opened.notes.append(f"the session has no regular end ({how}): it plays to its last row")
    except BaseException:
        opened.files.close()
        raise
    return opened


def _seeg(file: h5py.File) -> RecordedStream:
    said = json.loads(file["about"][()]).get("stream") or {}
    names = labels(file)
    about = About(
        name=said.get("name") or "sEEG",
        type=said.get("type") or "EEG",
        source_id=said.get("source_id") or "",
        format="float32",
        channels=len(names),
        rate_hz=float(file.attrs["fs_hz"]),
        desc=description(
            names,
            ["microvolts"] * len(names),
            ["SEEG"] * len(names),
            said.get("manufacturer") or _MAKER,
        ),
    )
    came = file["seeg/blocks"].fields(["available", "row", "count"])[()]
    came = came[came["count"] > 0]
    due = np.maximum.accumulate(came["available"]) if len(came) else np.zeros(0)
    offset = usual_offset(file["hops/times"].fields("clock_offset")[()])

    def blocks(since_s: float) -> Blocks:
        return _pulls(file, came, due, offset, int(np.searchsorted(due, since_s)))

    first, last = (float(due[0]), float(due[-1])) if len(due) else (np.nan, np.nan)
    return RecordedStream(about, int(came["count"].sum()), first, last, blocks, paced=True)


def _pulls(file: h5py.File, came: Any, due: Times, offset: float, first: int) -> Iterator[Block]:
    """One block a pull; rows are read many pulls at a time."""
    samples, stamps = file["seeg/samples"], file["seeg/timestamps"]
    for start in range(first, len(came), _BLOCKS):
        some = came[start : start + _BLOCKS]
        low, high = int(some["row"][0]), int(some["row"][-1] + some["count"][-1])
        values, times = samples[low:high], stamps[low:high] + offset
        for pull, now in zip(some, due[start : start + _BLOCKS], strict=True):
            rows = slice(int(pull["row"]) - low, int(pull["row"] + pull["count"]) - low)
            told = times[rows]
            yield Block(values[rows], np.full(len(told), now), told)


def _markers(file: h5py.File) -> list[RecordedStream]:
    streams, rows = json_lines(file["marker_streams"]), json_lines(file["markers"])
    out = []
    for said in streams:
        mine = [row for row in rows if row["stream"] == said["stream"]]
        values = [tuple(row["values"]) for row in mine]
        channels = int(said.get("channels") or (len(values[0]) if values else 1))
        about = About(
            name=said["name"] or f"markers-{said['stream']}",
            type=said["type"],
            source_id=said["source_id"],
            format=_marker_format(values, bool(said.get("text", True))),
            channels=channels,
            rate_hz=0.0,
            desc=description([""] * channels, [""] * channels, [""] * channels),
        )
        # Without a measured offset, its own stamp is the best there is.
        times = [row["stamp"] if row["time"] is None else row["time"] for row in mine]
        out.append(of_events(about, list(zip(times, values, strict=True))))
    return out


def _marker_format(values: list[tuple[Any, ...]], text: bool) -> str:
    if text:
        return STRING
    return "int32" if all(isinstance(v, int) for row in values for v in row) else "double64"


def _events(folder: Path, file: h5py.File) -> RecordedStream:
    about = About(
        name=f"{folder.resolve().name}-events",
        type="Markers",
        source_id=f"{folder.resolve().name}-events",
        format=STRING,
        channels=1,
        rate_hz=0.0,
        desc=description(["event"], [""], ["JSON"]),
    )
    rows = json_lines(file["events"])
    return of_events(about, [(row["time"], (json.dumps(row, ensure_ascii=False),)) for row in rows])


def _played(folder: Path, file: h5py.File, stretches: list[Stretch]) -> RecordedStream:
    name = f"{folder.resolve().name}-played"
    about = About(
        name=name,
        type="Audio",
        source_id=name,
        format="float32",
        channels=1,
        rate_hz=float(stretches[0].nominal_hz),
        desc=description(["played"], ["full scale"], ["Audio"]),
    )
    last = stretches[-1]
    return RecordedStream(
        about,
        sum(stretch.stop - stretch.first for stretch in stretches),
        stretches[0].start_s,
        last.start_s + (last.stop - 1 - last.first) / last.rate_hz,
        lambda since_s: rising(_heard(file, stretches, since_s)),
    )


def _heard(
    file: h5py.File, stretches: list[Stretch], since_s: float
) -> Iterator[tuple[Any, Times]]:
    audio = file["audio/played"]
    for stretch in stretches:
        skip = max(0.0, since_s - stretch.start_s) * stretch.rate_hz
        begin = stretch.first + (int(skip) if skip < stretch.stop - stretch.first else 0)
        if skip >= stretch.stop - stretch.first:
            continue
        for start in range(begin, stretch.stop, _ROWS):
            rows = np.arange(start, min(start + _ROWS, stretch.stop))
            stamps = stretch.start_s + (rows - stretch.first) / stretch.rate_hz
            yield audio[start : start + len(rows)][:, None], stamps
