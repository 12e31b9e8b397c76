"""Marks of a file that is no XDF, as a stream of markers: `start;house` ... `end;house`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from realtime.recordings.trials import SHORTEST_S, listed_trials
from tools.replay.describe import description
from tools.replay.streams import STRING, About, RecordedStream, of_events

Mark = tuple[float, float, str]


def marks_of(file: Path, own: Iterable[Mark]) -> list[Mark]:
    """Onset and duration in seconds, and text: by events.tsv beside the file, else its own.

    Raises
    ------
    RecordingError
        If a row of events.tsv lacks a number.
    """
    listed = listed_trials(file, None)
    if listed is None:
        return list(own)
    return [(trial.onset_s, trial.duration_s, trial.text) for trial in listed]


def marker_stream(name: str, marks: Iterable[Mark], start_s: float = 0.0) -> RecordedStream:
    """An irregular stream of strings; what lasts has a start and an end, a moment only itself."""
    rows: list[tuple[float, tuple[Any, ...]]] = []
    for onset, duration, text in marks:
        if duration < SHORTEST_S:
            rows.append((start_s + onset, (text,)))
        else:
            rows.append((start_s + onset, (f"start;{text}",)))
            rows.append((start_s + onset + duration, (f"end;{text}",)))
    about = About(
        name=name,
        type="Markers",
        source_id=f"seegvox-{name}",
        format=STRING,
        channels=1,
        rate_hz=0.0,
        desc=description(["marker"], [""], ["Marker"]),
    )
    return of_events(about, rows)
