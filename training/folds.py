"""Contiguous folds of whole trials, a guard on both sides of what is held out.

Frames are never shuffled between folds. Windows of 200 ms, hops of 15 ms and context put near
copies of every held-out frame into training if they are: five nearest neighbours then score
r = .979 on a patient without any neural signal (contiguous folds: -.005), measured on the simulated
patient (least squares: .120 against -.023). Any result above .9 got that way is a leak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from models.errors import SettingsError
from models.spec import BundleSpec, Model
from training.scores.chance import SHIFT_S
from training.scores.splits import GUARD_S, refuse_short_guard, sample_at, stop_before

if TYPE_CHECKING:
    from realtime.recordings import Recording

BASELINE_REACH_S = 0.225
"""What the widest baseline window reaches from the centre of its frame: 200 ms and half of 50."""

TEST, VALIDATION, TRAIN = "test", "validation", "train"


class FoldSettings(Model):
    """How a recording is cut for cross-validation."""

    count: int = Field(5, ge=2, description="folds")
    guard_s: float = Field(GUARD_S, description="seconds between parts; longer if windows need it")
    validation_fraction: float = Field(0.0, ge=0, lt=0.9, description="of the training trials")
    shuffle_frames: bool = Field(False, description="refused: false is the only value")

    @field_validator("shuffle_frames")
    @classmethod
    def _never(cls, shuffle: bool) -> bool:
        if shuffle:
            # Not a ValueError, which pydantic would wrap: the reason must be read as it is.
            raise SettingsError(
                "frames shuffled between folds were asked for",
                "contiguous folds of whole trials (shuffle_frames = false)",
                "neighbouring frames share their windows and are near copies: a patient with no "
                "neural signal at all scores r = .98 on shuffled frames, and 0 on contiguous folds",
            )
        return shuffle


@dataclass(frozen=True)
class Fold:
    """Slices of sEEG samples; every two of them are at least the guard apart.

    `train` holds one part, or two about the held-out one (three with a validation part).
    `trials` are the held-out trials, by number.
    """

    train: tuple[slice, ...]
    validation: slice | None
    test: slice
    trials: range


def needed_guard_s(spec: BundleSpec | None = None, guard_s: float = GUARD_S) -> float:
    """Least guard: 0.5 s, or as much as windows on both sides of a gap may reach into it.

    A decoder sees its memory window, the windows of its context and its look-ahead, a baseline
    `BASELINE_REACH_S` either way. Raised to whichever is longest, never lowered.

    Raises
    ------
    SettingsError
        If `guard_s` is under 0.5 s.
    """
    refuse_short_guard(guard_s)
    reach = 2 * BASELINE_REACH_S
    if spec is not None:
        windows = 1 + sum(spec.network.context)
        reach = max(reach, windows * spec.network.memory_ms / 1000 + float(spec.lookahead_s))
    return max(guard_s, reach)


def make_folds(
    recording: Recording, settings: FoldSettings, guard_s: float | None = None
) -> tuple[Fold, ...]:
    """Hold every trial out once, in contiguous blocks of whole trials.

    Where trials stand closer than the guard, training gives way: it leaves a trial out rather than
    cutting it or moving nearer.

    Parameters
    ----------
    guard_s : between parts; that of the settings if None (see `needed_guard_s`).

    Raises
    ------
    SettingsError
        If there are fewer trials than two per fold, a part has none left, or a held-out part is
        too short for chance by shifting (10 s).
    """
    guard = needed_guard_s(guard_s=settings.guard_s) if guard_s is None else guard_s
    refuse_short_guard(guard)
    count = len(recording.trials)
    if count < 2 * settings.count:
        raise SettingsError(
            f"{count} trials for {settings.count} folds",
            f"at least {2 * settings.count}",
            "ask for fewer folds, or record longer",
        )
    edges = [round(i * count / settings.count) for i in range(settings.count + 1)]
    return tuple(
        _fold(recording, range(a, b), settings.validation_fraction, guard)
        for a, b in pairwise(edges)
    )


def _fold(recording: Recording, test: range, validation_fraction: float, guard: float) -> Fold:
    count = len(recording.trials)
    roles = [TEST if i in test else TRAIN for i in range(count)]
    held = ceil((count - len(test)) * validation_fraction)
    if held:
        # Before the held-out trials as in a single split; where there is no room, the last ones.
        first = test.start - held if test.start > held else count - held
        for i in range(first, first + held):
            roles[i] = VALIDATION if roles[i] == TRAIN else roles[i]
    parts = _parts(recording, roles, guard)
    train = tuple(part for role, part in parts if role == TRAIN)
    found = [part for role, part in parts if role == TEST]
    validation = [part for role, part in parts if role == VALIDATION]
    if not train or len(found) != 1 or bool(held) != bool(validation):
        raise SettingsError(
            f"trials {test.start} to {test.stop - 1} held out leave a part without a trial",
            f"trials on both sides, more than {guard:g} s apart",
            "ask for other folds or a smaller validation part, or record longer",
        )
    seconds = float((found[0].stop - found[0].start) / recording.fs)
    if seconds <= 2 * SHIFT_S:
        raise SettingsError(
            f"a fold of {seconds:.1f} s ({len(test)} trials)",
            f"more than {2 * SHIFT_S:g} s, for chance by shifting",
            "ask for fewer folds, or record longer",
        )
    return Fold(train, validation[0] if validation else None, found[0], test)


@dataclass
class _Run:
    """Trials of one role in a row, and where their part starts and stops, seconds."""

    role: str
    first: int
    last: int
    start_s: float = 0.0
    stop_s: float = 0.0


def _parts(recording: Recording, roles: Sequence[str], guard: float) -> list[tuple[str, slice]]:
    runs: list[_Run] = []
    for i, role in enumerate(roles):
        if runs and runs[-1].role == role:
            runs[-1].last = i
        else:
            runs.append(_Run(role, i, i))
    for run in runs:
        run.start_s = recording.trials[run.first].onset_s
    if runs[0].role == TRAIN:
        runs[0].start_s = 0.0
    for before, after in pairwise(runs):
        _part_from(recording, before, after, guard)
    runs[-1].stop_s = recording.seconds
    return [
        (run.role, slice(sample_at(recording, run.start_s), sample_at(recording, run.stop_s)))
        for run in runs
        if run.stop_s > run.start_s
    ]


def _part_from(recording: Recording, before: _Run, after: _Run, guard: float) -> None:
    """Set where one part stops and the next starts; what is held out keeps all of its trials."""
    if before.role != TEST:
        before.stop_s = stop_before(recording, after.start_s, guard)
        return
    last = recording.trials[before.last]
    before.stop_s = max(last.onset_s + last.duration_s, after.start_s - guard)
    far = [
        trial.onset_s
        for trial in recording.trials[after.first : after.last + 1]
        # Sums of seconds: a thousandth of a sample is no nearness.
        if trial.onset_s >= before.stop_s + guard - 1e-6
    ]
    # Without such a trial the part is empty: it starts where it stops at the latest.
    after.start_s = far[0] if far else float("inf")
