"""Scores: against direct computation, and against the claims made about them."""

import warnings
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.errors import SettingsError
from realtime.recordings import Recording, Trial
from training import scores


def speech_like(seconds=60, seed=0):
    """Mels that switch between silence and speech at irregular times, (frames, 80)."""
    rng = np.random.default_rng(seed)
    frames = int(seconds / 0.015)
    spoken = np.zeros(frames, bool)
    at = 0
    while at < frames:
        at += int(rng.integers(40, 160))
        spoken[at : at + int(rng.integers(20, 80))] = True
        at += 80
    shape = np.linspace(-4, -6, 80)
    mels = np.where(spoken[:, None], shape, -10.0) + rng.normal(0, 0.5, (frames, 80))
    return mels.astype(np.float32), spoken


def recording(trials, seconds=100.0, fs=1024):
    samples = int(seconds * fs)
    return Recording(
        path=Path(),
        seeg=np.zeros((samples, 1), np.float32),
        fs=Fraction(fs),
        labels=("A1",),
        audio=np.zeros(10, np.float32),
        audio_rate=48000.0,
        audio_start_s=0.0,
        trials=tuple(trials),
    )


def test_correlation_is_pearson():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 5)), rng.normal(size=(200, 5))
    direct = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(5)]
    np.testing.assert_allclose(scores.correlation(a, b), direct, atol=1e-12)


def test_constant_prediction_scores_zero_without_warning():
    mels, _ = speech_like(20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constant = scores.mean_spectrum(mels, len(mels))
        assert scores.mel_r(mels, constant) == 0
        assert scores.shift_chance(mels, constant).p == 1


def test_shifts_by_transform_equal_rolling():
    """Tolerance 1e-9: double precision through one FFT of 1500 frames."""
    truth, spoken = speech_like(22, seed=1)
    prediction = truth + np.random.default_rng(2).normal(0, 2, truth.shape)
    least = 334
    for mask in (None, spoken):
        chance = scores.shift_chance(truth, prediction, mask)
        rolled = [
            scores.mel_r(truth, np.roll(prediction, s, axis=0), mask)
            for s in range(least, len(truth) - least + 1, 97)
        ]
        np.testing.assert_allclose(chance.null[::97], rolled, atol=1e-9)


def test_chance_tells_signal_from_noise():
    truth, _ = speech_like(60)
    rng = np.random.default_rng(3)
    good = scores.shift_chance(truth, truth + rng.normal(0, 1, truth.shape))
    other, _ = speech_like(60, seed=9)
    bad = scores.shift_chance(truth, other)
    assert good.p < 0.01 and good.observed > good.limit_95
    assert bad.p > 0.05


def test_p_counts_the_observation_itself():
    truth, _ = speech_like(60)
    chance = scores.shift_chance(truth, truth)
    assert chance.p == 1 / (1 + len(chance.null))


def test_too_short_for_chance_is_refused():
    truth, _ = speech_like(9)
    with pytest.raises(SettingsError, match="more than 10 s"):
        scores.shift_chance(truth, truth)


def test_speech_threshold_finds_speech():
    training, spoken = speech_like(60)
    threshold = scores.fit_speech_threshold(training)
    assert np.mean(scores.speech_frames(training, threshold) == spoken) > 0.99


def test_oracle_has_high_r_and_knows_nothing_within_speech():
    """The fact the table exists for: on/off alone looks excellent until silence is left out."""
    training, _ = speech_like(60)
    truth, _ = speech_like(60, seed=5)
    threshold = scores.fit_speech_threshold(training)
    oracle = scores.speech_silence_oracle(training, threshold, truth)
    spoken = scores.speech_frames(truth, threshold)
    assert scores.mel_r(truth, oracle) > 0.9
    assert scores.mel_r(truth, oracle, spoken) == 0


def test_components_count_equally():
    """On/off is one component of 50, so its r of 0.9 and more becomes about 1/50."""
    training, _ = speech_like(60)
    components = scores.MelComponents.fit(training)
    oracle = scores.speech_silence_oracle(training, -7.5, training)
    assert scores.mel_r(training, oracle) > 0.9
    assert components.r(training, oracle) < 0.05
    assert components.r(training, training) == pytest.approx(1)


def test_cue_locked_average_repeats_the_training_trial():
    template = np.random.default_rng(0).normal(size=(50, 80))
    training = np.tile(template, (6, 1))
    guess = scores.cue_locked_average(training, range(0, 300, 50), [10, 60], 120)
    np.testing.assert_allclose(guess[10:60], template)
    np.testing.assert_allclose(guess[60:110], template)


def test_table_has_the_lines_without_neural_data():
    training, _ = speech_like(60)
    truth, _ = speech_like(30, seed=4)
    noisy = truth + np.random.default_rng(0).normal(0, 1, truth.shape)
    table = scores.score_table(truth, training, {"network": noisy})
    names = [line.name for line in table.lines]
    assert names == ["network", "speech/silence oracle", "mean spectrum"]
    network, oracle, mean = table.lines
    assert network.mel_r_speech > oracle.mel_r_speech == 0
    assert mean.mel_r == 0 and "undefined" in mean.note
    text = scores.format_table(table)
    assert all(name in text for name in names)
    assert table.as_json()["lines"][0]["name"] == "network"


def test_shapes_must_agree():
    mels, _ = speech_like(20)
    with pytest.raises(SettingsError, match="same shape"):
        scores.mel_r(mels, mels[:-1])


@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_split_is_contiguous_whole_and_guarded(validation):
    trials = [Trial(1 + 3.0 * i, 2.0, str(i)) for i in range(30)]
    made = recording(trials)
    split = scores.split_trials(made, 0.2, validation)
    parts = [p for p in (split.train, split.validation, split.test) if p is not None]
    assert len(parts) == (3 if validation else 2)
    for before, after in pairwise(parts):
        assert after.start - before.stop >= 0.5 * 1024 - 1
    for trial in trials:
        first, last = trial.onset_s * 1024, (trial.onset_s + trial.duration_s) * 1024
        inside = [p for p in parts if p.start < last and first < p.stop]
        assert len(inside) == 1
        assert inside[0].start <= first and last <= inside[0].stop
    held = [t for t in trials if t.onset_s * 1024 >= split.test.start]
    assert [t.text for t in held] == [str(i) for i in range(24, 30)]


def test_split_drops_a_trial_rather_than_cutting_it():
    trials = [Trial(10.0 * i, 9.9, str(i)) for i in range(8)]
    split = scores.split_trials(recording(trials), 0.25)
    assert split.test.start == 60 * 1024
    assert split.train.stop == 50 * 1024


def test_split_refuses_nonsense():
    made = recording([Trial(1.0, 1.0, "a"), Trial(3.0, 1.0, "b")])
    with pytest.raises(SettingsError, match="every part"):
        scores.split_trials(made, 0.9)
    with pytest.raises(SettingsError, match="guard"):
        scores.split_trials(made, 0.2, guard_s=0.1)
    with pytest.raises(TypeError):
        scores.split_trials(made, 0.2, shuffle=True)
