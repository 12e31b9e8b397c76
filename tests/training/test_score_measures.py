"""Every measure against values known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import chirp

from models.errors import SettingsError
from training import scores

RATE = 16_000
RNG = np.random.default_rng


def tone(f0: float, seconds: float = 2.0) -> np.ndarray:
    """Ten harmonics, `(n,)`."""
    t = np.arange(int(RATE * seconds)) / RATE
    return 0.1 * sum(np.sin(2 * np.pi * f0 * k * t) / k for k in range(1, 11))


def words(seed: int = 0, seconds: float = 6.0) -> np.ndarray:
    """Noise in bursts, something that STOI takes for speech, `(n,)`."""
    rng = RNG(seed)
    steps = np.repeat(rng.random(int(seconds * 8)) > 0.4, RATE // 8)
    return steps * rng.normal(0, 0.1, len(steps)) + 1e-4 * rng.normal(size=len(steps))


def mels(frames: int = 400, seed: int = 0) -> np.ndarray:
    """Smooth random log-mels, `(frames, 80)`."""
    rng = RNG(seed)
    weights = np.cumsum(rng.normal(0, 0.3, (frames, 6)), axis=0)
    shapes = np.cos(np.pi * np.outer(np.arange(1, 7), np.arange(80) + 0.5) / 80)
    return -6 + weights @ shapes


# --- intelligibility ----------------------------------------------------------------------------


def test_stoi_of_identical_sound_is_one_and_of_other_sound_is_low() -> None:
    x = words()
    # pystoi divides by norms plus 1e-16: one to within rounding.
    assert scores.stoi_pair(x, x, RATE) == pytest.approx((1.0, 1.0), abs=1e-6)
    stoi, estoi = scores.stoi_pair(x, words(1), RATE)
    assert stoi < 0.6 and estoi < 0.3


def test_stoi_falls_with_noise() -> None:
    x = words()
    noise = RNG(5).normal(0, 0.1, len(x))
    found = [scores.stoi_pair(x, x + g * noise, RATE)[0] for g in (0.0, 0.3, 3.0)]
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("seconds", [0.01, 0.2])
def test_too_little_speech_for_stoi_is_said(seconds: float) -> None:
    x = words()[: int(seconds * RATE)]
    with pytest.raises(SettingsError, match="too little speech for STOI"):
        scores.stoi_pair(x, x, RATE)


# --- cepstra ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "offset"), [(1, 0.5), (7, 1.0), (24, 0.2)])
def test_distortion_of_a_known_cepstral_offset(order: int, offset: float) -> None:
    """A cosine of amplitude `a` on the log spectrum: 10/ln 10 * sqrt(2) * a dB, by definition."""
    truth = mels()
    ripple = offset * np.cos(np.pi * order * (np.arange(80) + 0.5) / 80)
    expected = 10 / math.log(10) * math.sqrt(2) * offset
    assert scores.distortion_db(truth, truth + ripple) == pytest.approx(expected, rel=1e-9)
    # That is the rms difference of the spectra in dB (20 log10 of amplitude).
    rms_db = 20 / math.log(10) * np.sqrt(np.mean(ripple**2))
    assert rms_db == pytest.approx(expected, rel=1e-9)


def test_distortion_knows_no_level_and_no_finest_detail() -> None:
    truth = mels()
    fine = np.cos(np.pi * 25 * (np.arange(80) + 0.5) / 80)
    assert scores.distortion_db(truth, truth + 3.0) == pytest.approx(0, abs=1e-9)
    assert scores.distortion_db(truth, truth + fine) == pytest.approx(0, abs=1e-9)


def test_distortion_of_masked_frames_only() -> None:
    truth = mels()
    wrong = truth.copy()
    wrong[:100] += np.cos(np.pi * (np.arange(80) + 0.5) / 80)
    mask = np.arange(len(truth)) >= 100
    assert scores.distortion_db(truth, wrong, mask) == 0
    assert scores.distortion_db(truth, wrong) > 0
    with pytest.raises(SettingsError, match="no frame"):
        scores.distortion_db(truth, wrong, np.zeros(len(truth), bool))


def warped(truth: np.ndarray, most: float) -> np.ndarray:
    """The same at another pace: up to `most` frames early or late."""
    at = np.arange(len(truth)) + most * np.sin(np.arange(len(truth)) / 25)
    at = np.clip(at, 0, len(truth) - 1)
    low = np.floor(at).astype(int)
    part = (at - low)[:, None]
    return truth[low] * (1 - part) + truth[np.minimum(low + 1, len(truth) - 1)] * part


def test_warping_undoes_another_pace() -> None:
    truth = mels()
    slow = warped(truth, 12)
    plain, along = scores.distortion_db(truth, slow), scores.warped_distortion_db(truth, slow)
    assert along < 0.3 * plain
    assert scores.warped_distortion_db(truth, truth) == 0
    # Twelve frames are beyond a band of three.
    narrow = scores.warped_distortion_db(truth, slow, band_s=0.045)
    assert along < narrow < plain


def test_warping_path_is_the_one_of_librosa() -> None:
    """The same total cost where the band holds everything (paths may differ between equals)."""
    librosa = pytest.importorskip("librosa")
    a, b = scores.cepstra(mels(60)), scores.cepstra(mels(60, seed=1))
    left, right = scores.warping_path(a, b, 60)
    cost = np.linalg.norm(a[:, None] - b[None], axis=2)
    total, _ = librosa.sequence.dtw(C=cost)
    assert cost[left, right].sum() == pytest.approx(total[-1, -1], rel=1e-9)
    assert (left[0], right[0], left[-1], right[-1]) == (0, 0, 59, 59)
    steps = np.stack([np.diff(left), np.diff(right)])
    assert steps.min() >= 0 and steps.max() == 1 and (steps.sum(axis=0) >= 1).all()


def test_warping_path_stays_in_its_band() -> None:
    a, b = scores.cepstra(mels(80)), scores.cepstra(mels(80, seed=1))
    left, right = scores.warping_path(a, b, 5)
    assert np.abs(left - right).max() <= 5


# --- pitch --------------------------------------------------------------------------------------


@pytest.mark.parametrize("f0", [80.0, 119.3, 212.7, 330.0])
def test_pitch_of_a_tone(f0: float) -> None:
    """Within 0.5 %: a hundredth of a semitone is 0.06 %, a lag at 330 Hz and 16 kHz 2 %."""
    found = scores.track_pitch(tone(f0), RATE)
    inner = slice(4, -4)
    assert found.voiced[inner].all()
    np.testing.assert_allclose(found.hz[inner], f0, rtol=5e-3)


def test_noise_and_silence_are_unvoiced() -> None:
    noise = RNG(0).normal(0, 0.1, 2 * RATE)
    assert scores.track_pitch(noise, RATE).voiced.mean() < 0.02
    assert not scores.track_pitch(np.zeros(RATE), RATE).voiced.any()
    hum = np.concatenate([tone(150), 1e-3 * tone(100)])
    voiced = scores.track_pitch(hum, RATE).voiced
    assert voiced[:120].mean() > 0.95 and not voiced[140:].any()


def test_pitch_agrees_with_pyin() -> None:
    librosa = pytest.importorskip("librosa")
    t = np.arange(3 * RATE) / RATE
    glide = sum(chirp(t, 100 * k, 3, 200 * k, method="linear") / k for k in range(1, 8)) * 0.1
    ours = scores.track_pitch(glide, RATE)
    theirs, voiced, _ = librosa.pyin(
        glide, fmin=65, fmax=400, sr=RATE, frame_length=1024, hop_length=240
    )
    inner = slice(10, -10)
    # librosa's frame k is centred on sample 240 k, ours half a hop later: 0.25 Hz on this glide.
    both = voiced[: len(ours.voiced)][inner] & ours.voiced[inner]
    assert both.mean() > 0.95
    difference = ours.hz[inner][both] - theirs[: len(ours.hz)][inner][both]
    assert np.abs(np.median(difference)) < 1.0 and np.abs(difference).max() < 5.0


def test_voicing_error_counts_frames() -> None:
    half = np.concatenate([tone(150, 1.5), RNG(0).normal(0, 0.05, int(1.5 * RATE))])
    whole, mixed = scores.track_pitch(tone(150, 3.0), RATE), scores.track_pitch(half, RATE)
    assert scores.voicing_error(whole, whole) == 0
    # Half of the frames; two or three at the seam may fall either way.
    assert scores.voicing_error(whole, mixed) == pytest.approx(0.5, abs=0.02)
    first = np.arange(len(whole.voiced)) < 95
    assert scores.voicing_error(whole, mixed, first) < 0.05


def test_log_f0_r_follows_pitch_not_octave() -> None:
    t = np.arange(3 * RATE) / RATE

    def voice(octave: float, sign: float) -> scores.Pitch:
        hz = 110 * octave * np.exp(sign * 0.3 * np.sin(2 * np.pi * t))
        phase = 2 * np.pi * np.cumsum(hz) / RATE
        return scores.track_pitch(sum(np.sin(k * phase) / k for k in range(1, 8)), RATE)

    assert scores.log_f0_r(voice(1, 1), voice(2, 1)) == pytest.approx(1, abs=0.02)
    assert scores.log_f0_r(voice(1, 1), voice(1, -1)) == pytest.approx(-1, abs=0.02)
    silent = scores.track_pitch(np.zeros(3 * RATE), RATE)
    assert scores.log_f0_r(voice(1, 1), silent) is None


# --- chance -------------------------------------------------------------------------------------


def paced(trials: int, seed: int, onset: int = 0) -> np.ndarray:
    """Trials of 60 frames that share a course over time and differ in their detail."""
    rng = RNG(seed)
    shared = np.sin(np.linspace(0, np.pi, 60))[:, None] * np.ones(80)
    one = [3 * shared + rng.normal(0, 1, (60, 80)) for _ in range(trials)]
    return np.concatenate([np.zeros((onset, 80)), *one])


def test_exchanging_trials_equals_doing_it() -> None:
    """Against permuting the frames themselves; tolerance of double precision sums."""
    truth, prediction = paced(8, 0, 10), paced(8, 1, 10)
    cues = [10 + 60 * i for i in range(8)]
    mask = RNG(3).random(len(truth)) > 0.3
    chance = scores.trial_chance(truth, prediction, cues, mask, draws=40, seed=7)
    from training.scores.chance import _derangements

    scored = mask & (np.arange(len(truth)) >= 10)
    direct = []
    for order in _derangements(8, 40, 7):
        moved = np.concatenate([prediction[:10], *(prediction[cues[j] :][:60] for j in order)])
        direct.append(scores.mel_r(truth, moved, scored))
    np.testing.assert_allclose(chance.null, direct, atol=1e-10)
    assert chance.observed == pytest.approx(scores.mel_r(truth, prediction, scored))


def test_no_trial_keeps_its_own() -> None:
    from training.scores.chance import _derangements

    orders = _derangements(5, 500, 0)
    assert all(sorted(o) == list(range(5)) and not np.any(o == np.arange(5)) for o in orders)
    assert len({tuple(o) for o in orders}) == 44  # all derangements of five


def test_timing_alone_is_chance_when_trials_are_exchanged() -> None:
    """What a circular shift calls significant may be nothing but the pace of the task."""
    truth, timing = paced(20, 0), paced(20, 1)
    cues = list(range(0, 1200, 60))
    exchanged = scores.trial_chance(truth, timing, cues)
    assert scores.mel_r(truth, timing) > 0.4
    assert exchanged.p > 0.05 and exchanged.limit_95 > 0.4
    real = scores.trial_chance(truth, truth + RNG(2).normal(0, 2, truth.shape), cues)
    assert real.p == 1 / 1001


def test_trials_of_different_length_are_exchanged() -> None:
    truth = paced(10, 0)
    chance = scores.trial_chance(truth, truth, [0, 37, 100, 190, 333, 500], draws=50)
    assert chance.p == 1 / 51 and len(chance.null) == 50


def test_too_few_trials_are_refused() -> None:
    with pytest.raises(SettingsError, match="at least 4"):
        scores.trial_chance(paced(3, 0), paced(3, 1), [0, 60, 120])


def test_retraining_chance_counts_decoders_as_good() -> None:
    truth = mels(700)
    noise = [RNG(i).normal(size=truth.shape) for i in range(19)]
    good = scores.retraining_chance(truth, truth + noise[0], noise)
    assert good.p == 1 / 20 and good.observed > good.limit_95
    assert scores.retraining_chance(truth, noise[0], noise).p > 0.05
    with pytest.raises(SettingsError, match="retrained"):
        scores.retraining_chance(truth, truth, [])


def test_retraining_places_are_spread_over_the_circle() -> None:
    places = scores.retraining_places(20, seed=3)
    assert min(places) >= 0 and max(places) < 1
    np.testing.assert_allclose(np.diff(places), 0.05)
    assert places != scores.retraining_places(20, seed=4)


# --- intervals and table ------------------------------------------------------------------------


def test_interval_is_students() -> None:
    """Mean 3, sd 1.5811, t(.975, 4) = 2.7764, half width 1.9632."""
    found = scores.interval([1, 2, 3, 4, 5])
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((3, 1.03676, 4.96324), abs=1e-4)
    assert scores.interval([1.0]) is None


def test_table_with_cues_sound_and_every_chance_survives_json() -> None:
    truth = paced(16, 0)
    training = np.where(np.arange(960)[:, None] // 30 % 2, paced(16, 3), -10.0)
    truth = np.where(np.arange(960)[:, None] // 30 % 2, truth, -10.0)
    cues = scores.Cues(tuple(range(0, 960, 60)), tuple(range(0, 960, 60)))
    noisy = truth + RNG(0).normal(0, 1, truth.shape)
    reference = scores.Reference.fit(truth, training, cues)
    line = reference.line("network", noisy)
    line = reference.retrained(line, noisy, [noisy[::-1]])
    assert line.retrainings == 1 and line.p_retrained == 0.5
    assert line.p_trials is not None and line.p_speech_trials is not None
    table = scores.score_table(truth, training, {"network": noisy}, cues=cues)
    assert [x.name for x in table.lines][1:] == [scores.ORACLE, scores.CUE_LOCKED, scores.MEAN]
    x = words(seconds=960 * 0.015)
    sound = scores.sound_scores((x, x), RATE, (truth, truth), reference.spoken)
    assert (sound.mcd_db, sound.mcd_dtw_db, sound.voicing_error) == (0, 0, 0)
    from dataclasses import replace

    full = scores.table_of(reference, [replace(line, sound=sound), *table.lines[1:]], "a note")
    import json

    again = scores.table_from_json(json.loads(json.dumps(full.as_json())))
    assert again.lines == full.lines
    text = scores.format_table(again)
    assert "STOI" in text and "trials exchanged" in text and "1 x" in text and "a note" in text
