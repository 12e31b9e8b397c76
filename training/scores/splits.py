"""One held-out part: the last whole trials of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from models.errors import SettingsError

if TYPE_CHECKING:
    from realtime.recordings import Recording

GUARD_S = 0.5


@dataclass(frozen=True)
class Split:
    """Contiguous parts of a recording as slices of sEEG samples."""

    train: slice
    validation: slice | None
    test: slice


def split_trials(
    recording: Recording,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
    guard_s: float = GUARD_S,
) -> Split:
    """Hold out the last whole trials, and before them, if asked, a validation part.

    Parts are contiguous and at least `guard_s` apart; no trial is cut. Frames are never shuffled:
    there is no option for it.

    Raises
    ------
    SettingsError
        If the fractions leave a part without a trial, or the guard is under 0.5 s.
    """
    refuse_short_guard(guard_s)
    trials, count = recording.trials, len(recording.trials)
    test = ceil(count * test_fraction)
    validation = ceil(count * validation_fraction)
    first = count - test - validation
    if test_fraction <= 0 or validation_fraction < 0 or first < 1:
        raise SettingsError(
            f"{count} trials with {test_fraction:g} for testing and {validation_fraction:g} "
            "for validation",
            "at least one trial in every part",
            "record longer or hold out less",
        )
    edges = [0.0, *(trials[i].onset_s for i in (first, count - test) if i < count)]
    test_start = trials[count - test].onset_s
    train_stop = stop_before(recording, edges[1], guard_s)
    held = slice(sample_at(recording, test_start), len(recording.seeg))
    middle = None
    if validation:
        stop = stop_before(recording, test_start, guard_s)
        middle = slice(sample_at(recording, edges[1]), sample_at(recording, stop))
    return Split(slice(0, sample_at(recording, train_stop)), middle, held)


def refuse_short_guard(guard_s: float, least_s: float = GUARD_S) -> None:
    """Refuse a guard under the least.

    Raises
    ------
    SettingsError
        If the guard is too short.
    """
    if guard_s < least_s:
        raise SettingsError(
            f"a guard of {guard_s:g} s", f"at least {least_s:g} s (window and context)"
        )


def stop_before(recording: Recording, onset_s: float, guard_s: float) -> float:
    """Where a part ends: a guard before the next onset, without cutting a trial; seconds."""
    stop = onset_s - guard_s
    cut = [t.onset_s for t in recording.trials if t.onset_s < stop < t.onset_s + t.duration_s]
    return min([stop, *cut])


def sample_at(recording: Recording, seconds: float) -> int:
    """First sEEG sample at or after a time."""
    return max(0, ceil(seconds * recording.fs))
