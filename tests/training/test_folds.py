"""Folds: contiguous, whole, guarded, and never shuffled."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.errors import SettingsError
from models.spec import NetworkSpec
from models.toml import validated
from realtime.recordings import Recording, Trial
from tests.bundles import tiny_spec
from training.folds import Fold, FoldSettings, make_folds, needed_guard_s

FS = 1024


def recording(trials: list[Trial], seconds: float) -> Recording:
    return Recording(
        path=Path(),
        seeg=np.zeros((int(seconds * FS), 1), np.float32),
        fs=Fraction(FS),
        labels=("A1",),
        audio=np.zeros(10, np.float32),
        audio_rate=48_000.0,
        audio_start_s=0.0,
        trials=tuple(trials),
    )


def paced(count: int = 40) -> Recording:
    return recording([Trial(1 + 3.0 * i, 2.0, str(i)) for i in range(count)], 3.0 * count + 2)


def dense(count: int = 60) -> Recording:
    """Sentences a fifth of a second apart: closer than the guard."""
    rng = np.random.default_rng(0)
    trials, at = [], 0.5
    for i in range(count):
        length = float(rng.uniform(1.0, 4.0))
        trials.append(Trial(at, length, str(i)))
        at += length + 0.2
    return recording(trials, at + 1)


def inside(span: slice, trial: Trial) -> bool | None:
    """Whether a trial lies in a span; None if the span cuts it."""
    first, last = trial.onset_s * FS, (trial.onset_s + trial.duration_s) * FS
    if span.start - 1 <= first and last <= span.stop + 1:
        return True
    return False if last <= span.start + 1 or first >= span.stop - 1 else None


def spans(fold: Fold) -> list[slice]:
    held = [fold.validation] if fold.validation is not None else []
    return sorted([*fold.train, *held, fold.test], key=lambda s: s.start)


@pytest.mark.parametrize("made", [paced(), dense()], ids=["paced", "dense"])
@pytest.mark.parametrize("validation", [0.0, 0.15])
@pytest.mark.parametrize("guard", [0.5, 1.2])
def test_folds_are_whole_guarded_and_complete(
    made: Recording, validation: float, guard: float
) -> None:
    folds = make_folds(made, FoldSettings(count=4, validation_fraction=validation), guard)
    assert [i for fold in folds for i in fold.trials] == list(range(len(made.trials)))
    for fold in folds:
        parts = spans(fold)
        for before, after in pairwise(parts):
            # Samples are whole: an edge may move by one.
            assert after.start - before.stop >= guard * FS - 1
        for i, trial in enumerate(made.trials):
            found = [inside(part, trial) for part in parts]
            assert None not in found, f"trial {i} is cut"
            assert inside(fold.test, trial) == (i in fold.trials)
        assert (fold.validation is not None) == bool(validation)


def test_training_lies_on_both_sides() -> None:
    folds = make_folds(paced(), FoldSettings(count=4))
    assert [len(fold.train) for fold in folds] == [1, 2, 2, 1]
    assert all(len(range(*part.indices(10**9))) > 10 * FS for f in folds for part in f.train)


def test_a_request_to_shuffle_frames_is_refused_with_its_reason() -> None:
    for refused in (True, "true", 1):
        with pytest.raises(SettingsError, match=r"shuffled.*contiguous.*near copies.*\.98"):
            validated(FoldSettings, {"shuffle_frames": refused}, "settings")
    assert validated(FoldSettings, {"shuffle_frames": False}, "settings").shuffle_frames is False


def test_the_guard_covers_window_and_context() -> None:
    spec = tiny_spec()
    assert needed_guard_s(spec) == 0.5
    assert needed_guard_s(spec, 0.8) == 0.8
    wide = spec.model_copy(update={"network": NetworkSpec(memory_ms=900)})
    assert needed_guard_s(wide) == pytest.approx(0.9)
    context = NetworkSpec(causal=False, context=(2, 2))
    assert needed_guard_s(spec.model_copy(update={"network": context})) == pytest.approx(1.0)
    ahead = wide.model_copy(update={"target_lookahead": 10})
    assert needed_guard_s(ahead) == pytest.approx(0.9 + 0.15)
    with pytest.raises(SettingsError, match=r"0\.3 s.*at least 0\.5 s"):
        needed_guard_s(spec, 0.3)
    with pytest.raises(SettingsError, match="at least"):
        make_folds(paced(), FoldSettings(guard_s=0.1))


def test_what_is_too_short_is_said() -> None:
    with pytest.raises(SettingsError, match="5 trials for 4 folds"):
        make_folds(paced(5), FoldSettings(count=4))
    with pytest.raises(SettingsError, match=r"a fold of .* s .*more than 10 s"):
        make_folds(paced(12), FoldSettings(count=4))
    # All trials closer together than the guard: nothing is left to train on beside one.
    crowded = recording([Trial(30.0 * i, 29.9, str(i)) for i in range(4)], 121)
    with pytest.raises(SettingsError, match="without a trial"):
        make_folds(crowded, FoldSettings(count=2, validation_fraction=0.6), 40.0)
