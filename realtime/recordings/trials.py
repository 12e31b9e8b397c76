"""Trials: from events.tsv, from marks in the file, and those that the recording really holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from models.errors import RecordingError
from realtime.recordings.recording import Trial
from realtime.recordings.sidecars import cell, sidecar, table
from realtime.recordings.xdf_trials import Mark, marked

_REST = "fixation"
SHORTEST_S = 0.05
"""A shorter mark in a file is a moment, not a trial: no word fits into it."""
_SLACK_S = 0.05
_NO_TRIAL = ("BAD", "EDGE", "NEW SEGMENT")


def listed_trials(file: Path, events: Path | None) -> list[Trial] | None:
    """Trials of events.tsv: `events`, or the sidecar of `file`; None if it has no such table.

    Raises
    ------
    RecordingError
        If `events` does not exist, or a row lacks a number.
    """
    if events is not None and not events.is_file():
        raise RecordingError(f"the table of events {events} does not exist", "an events.tsv")
    rows = table(events or sidecar(file, "events"))
    if not rows:
        return None
    return [_trial(row) for row in rows if row.get("trial_type") != _REST]


def marked_trials(marks: Iterable[Mark]) -> tuple[list[Trial], list[str]]:
    """Trials told by annotations, and notes: those that last, and pairs of moments.

    Parameters
    ----------
    marks : onset and duration in seconds, and text; `start;house` ... `end;house` is a pair.
    """
    marks = [mark for mark in marks if not mark[2].upper().startswith(_NO_TRIAL)]
    long = [mark for mark in marks if mark[1] >= SHORTEST_S]
    moments = [mark for mark in marks if mark[1] < SHORTEST_S]
    pairs, notes = marked([at for at, _, _ in moments], [text for _, _, text in moments])
    return [Trial(*mark) for mark in long + pairs], notes


def inside(trials: list[Trial], seconds: float) -> tuple[tuple[Trial, ...], list[str]]:
    """The trials that have a duration and end before the recording does, in order; and a note."""
    kept = [
        t
        for t in trials
        if t.duration_s > 0 and t.onset_s >= 0 and t.onset_s + t.duration_s <= seconds + _SLACK_S
    ]
    lost = len(trials) - len(kept)
    notes = [f"{lost} trials without duration or beyond the end were left out"] if lost else []
    return tuple(sorted(kept, key=lambda t: t.onset_s)), notes


def _trial(row: dict[str, str]) -> Trial:
    try:
        # BIDS allows an unknown duration; such a trial is left out later, and counted.
        duration = float(cell(row, "duration") or 0)
        return Trial(float(row["onset"]), duration, _said(row))
    except (KeyError, ValueError, TypeError) as err:
        raise RecordingError(
            f"an events.tsv row cannot be read: {row}", "numbers in onset and duration"
        ) from err


def _said(row: dict[str, str]) -> str:
    """`value`; but where that is the number of a trigger, `trial_type` says more."""
    value, kind = cell(row, "value"), cell(row, "trial_type")
    return kind if kind and (not value or value.isdecimal()) else value
