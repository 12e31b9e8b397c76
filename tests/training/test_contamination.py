"""Acoustic contamination: found where the sound leaked, not where speech is merely decodable."""

from dataclasses import replace

import numpy as np
import pytest

from models.errors import RecordingError, SettingsError
from models.spec import FrontEndSpec
from training.contamination import (
    ContaminationSettings,
    _Lags,
    _narrow,
    _shift_p,
    _Spectra,
    _standardised,
    _step_up,
    _surrogates,
    check_contamination,
    contamination,
    without_contaminated,
)
from training.patient import PatientSettings, simulate

FS = 1024.0
SMALL = {"minutes": 2.0, "shafts": 4, "contacts_per_shaft": 10, "seed": 7}


def patient(**changed):
    return simulate(PatientSettings(**{**SMALL, **changed}))


def voiced(seconds=60.0, seed=0):
    """A voice whose pitch and loudness wander, at the neural rate, and pink-ish sEEG."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * FS)
    at, knots = np.arange(samples) / FS, np.arange(0, seconds + 1, 0.5)
    pitch = np.interp(at, knots, rng.uniform(75, 165, len(knots)))
    loud = np.interp(at, knots, rng.uniform(0, 1, len(knots)))
    audio = loud * np.sin(2 * np.pi * np.cumsum(pitch) / FS) + rng.normal(0, 0.01, samples)
    seeg = np.cumsum(rng.normal(0, 1, (samples, 6)), axis=0) + rng.normal(0, 5, (samples, 6))
    return audio.astype(np.float32), seeg.astype(np.float32)


LABELS = tuple(f"A{n}" for n in range(1, 7))


@pytest.fixture(scope="module")
def clean():
    return patient(gain=0.0)


@pytest.fixture(scope="module")
def leaking():
    return patient(gain=0.0, leak_db=0.0)


def test_patient_without_signal_or_leak_passes(clean):
    found = check_contamination(clean.recording)
    assert found.p > 0.05 and not found.contaminated
    assert found.exclude == () and found.warning() is None


def test_decodable_speech_alone_passes():
    """Neural activity that follows loudness is no contamination, in most patients.

    Of 60 patients without leak that were measured (40 or 112 contacts, gains 0 to 1.1) P was below
    .05 in four; of 30 of them, none had a contact to be excluded. Six seeds may hold one of each.
    """
    found = [check_contamination(patient(gain=1.1, seed=s).recording) for s in range(6)]
    assert sum(one.contaminated for one in found) <= 1
    assert sum(len(one.exclude) for one in found) <= 1
    assert np.median([one.p for one in found]) > 0.2


def test_leaked_audio_is_flagged_and_located(leaking):
    found = check_contamination(leaking.recording)
    assert found.p < 0.001 and found.contaminated
    assert "may contain the sound" in found.warning()
    leaked = set(leaking.truth.leaked)
    # Dead and saturated contacts may have been chosen for the leak: they hold nothing of it.
    findable = leaked - set(leaking.truth.dead) - set(leaking.truth.saturated)
    assert len(set(found.exclude) - leaked) <= 1
    assert len(set(found.exclude) & findable) >= 0.8 * len(findable)
    columns = [found.labels.index(name) for name in set(found.exclude) & findable]
    assert np.abs(found.peak_lag_s[columns]).max() <= 0.02 + 1e-9  # one frame


def test_excluding_the_contacts_cleans_the_recording(leaking):
    found = check_contamination(leaking.recording)
    front_end = without_contaminated(FrontEndSpec(bad_contacts=("LA1",)), found)
    assert front_end.bad_contacts[0] == "LA1" and set(found.exclude) <= set(front_end.bad_contacts)
    kept = [i for i, name in enumerate(found.labels) if name not in front_end.bad_contacts]
    recording = replace(
        leaking.recording,
        seeg=leaking.recording.seeg[:, kept],
        labels=tuple(found.labels[i] for i in kept),
    )
    again = check_contamination(recording)
    assert again.measure < found.measure and again.p > found.p


def test_correlations_are_pearsons_and_the_matrix_their_maximum():
    audio, seeg = voiced(30)
    settings = ContaminationSettings()
    found = contamination(audio, seeg, FS, LABELS, settings)
    spectra = _Spectra(len(audio), FS, settings)
    from scipy.ndimage import uniform_filter1d

    loud = audio.astype(np.float64)
    heard = spectra.power(loud - uniform_filter1d(loud, 1024))
    each = []
    for column in seeg.T:
        own = spectra.power(column.astype(np.float64))
        each.append(np.corrcoef(heard.T, own.T)[: len(found.hz), len(found.hz) :])
    np.testing.assert_allclose(found.matrix, np.max(each, axis=0), atol=1e-4)
    np.testing.assert_allclose(
        found.contact_measure, [np.diag(one).mean() for one in each], atol=1e-4
    )
    assert found.measure == pytest.approx(np.diag(found.matrix).mean())
    # At lag 0 the cross-correlation is the diagonal's mean.
    np.testing.assert_allclose(found.cross[:, 25], found.contact_measure, atol=1e-4)


def test_spectra_are_hamming_windows_about_each_frame():
    """200 ms at 1024 Hz are 205 samples, so bins 4.995 Hz apart; 50 frames a second."""
    settings = ContaminationSettings()
    rng = np.random.default_rng(0)
    trace = rng.normal(size=4096)
    spectra = _Spectra(4096, FS, settings)
    power = spectra.power(trace)
    assert power.shape == (200, len(spectra.hz))
    start = int(70 * 1024 / 50) - 102
    z = (trace - trace.mean()) / trace.std()
    direct = np.abs(np.fft.rfft(z[start : start + 205] * np.hamming(205))) ** 2
    hz = np.fft.rfftfreq(205, 1 / FS)
    inside = (hz >= 70) & (hz <= 170)
    np.testing.assert_allclose(power[70], direct[inside], rtol=1e-3, atol=1e-3)


def test_surrogates_permute_whole_rows_or_columns():
    """The mean over all permutations of a diagonal is the mean of the matrix."""
    matrix = np.random.default_rng(0).normal(size=(12, 12))
    null = _surrogates(matrix, ContaminationSettings(surrogates=20_000))
    # Standard error: deviation of a diagonal mean, 1/sqrt(12), over sqrt(20 000): .002.
    assert null.mean() == pytest.approx(matrix.mean(), abs=0.01)
    again = _surrogates(matrix, ContaminationSettings(surrogates=20_000))
    np.testing.assert_array_equal(null, again)


def test_delayed_sound_shows_its_lag():
    audio, seeg = voiced(60)
    late = seeg.copy()
    late[:, 2] += 200 * np.roll(audio, int(0.2 * FS))
    found = contamination(audio, late, FS, LABELS)
    assert found.peak_lag_s[2] == pytest.approx(0.2, abs=0.021)


def test_shared_artefacts_are_left_out():
    audio, seeg = voiced(60)
    seeg[20_000:20_200] += 2000
    plain = contamination(audio, seeg, FS, LABELS)
    masked = contamination(audio, seeg, FS, LABELS, ContaminationSettings(mask_artefacts=True))
    assert plain.masked_frames == 0
    # 0.2 s, half a second and half a window on both sides, half the average's length around it.
    assert 50 * 1.2 < masked.masked_frames < 50 * 3
    assert masked.frames + masked.masked_frames == plain.frames


def test_a_dead_contact_and_missing_samples_do_no_harm():
    audio, seeg = voiced(30)
    seeg[:, 0] = 7
    seeg[1000:2000, 1] = np.nan
    found = contamination(audio, seeg, FS, LABELS)
    assert found.contact_measure[0] == 0
    assert np.isfinite(found.matrix).all() and np.isfinite(found.cross).all()


def test_p_counts_the_shifts_that_are_as_high():
    specific = np.random.default_rng(0).normal(size=(20, 6000))
    specific[3, 0], specific[4] = 10, 0  # a leak, and a dead contact
    p = _shift_p(specific)
    shifts = 6000 - 2 * 250 + 1
    assert p[3] == 1 / (1 + shifts) and p[4] == 1
    assert p[7] == (1 + np.sum(specific[7, 250:5751] >= specific[7, 0])) / (1 + shifts)


def test_contacts_are_chosen_by_the_step_up_rule():
    """Thresholds for four at .05: .0125, .025, .0375, .05."""
    assert _step_up(np.array([0.04, 0.001, 0.03, 0.06]), 0.05) == [1]
    assert _step_up(np.array([0.04, 0.001, 0.03, 0.05]), 0.05) == [0, 1, 2, 3]
    assert _step_up(np.array([0.02, 0.03, 0.2, 0.9]), 0.05) == []


def test_shifts_are_correlations_with_rolled_audio():
    audio, seeg = voiced(30)
    settings = ContaminationSettings()
    spectra, frames = _Spectra(len(audio), FS, settings), np.ones(1500, bool)
    heard = _standardised(spectra.power(audio.astype(np.float64)), frames)
    own = _standardised(spectra.power(seeg[:, 0].astype(np.float64)), frames)
    same = _Lags(heard, frames)(own)
    for lag in (0, 13, 700):
        matrix = heard.T @ np.roll(own, -lag, axis=0) / 1500
        assert same[lag] == pytest.approx(np.diag(matrix).mean(), abs=1e-5)


def test_what_all_frequencies_share_is_no_contamination():
    """Loudness in every bin correlates at equal frequencies too, until it is taken out."""
    rng = np.random.default_rng(0)
    loud = rng.normal(size=(2000, 1))
    frames = np.ones(2000, bool)
    heard, own = (
        _standardised((loud + rng.normal(0, 0.5, (2000, 20))).astype(np.float32) + 5, frames)
        for _ in range(2)
    )
    assert np.diag(heard.T @ own / 2000).mean() > 0.7
    # Standard error of the mean of 20 correlations over 2000 frames: .005.
    assert abs(np.diag(_narrow(heard).T @ _narrow(own) / 2000).mean()) < 0.02
    np.testing.assert_allclose(_narrow(own).std(axis=0), 1, atol=1e-3)
    assert not _narrow(np.zeros_like(own)).any()


def test_bad_input_is_refused():
    audio, seeg = voiced(30)
    with pytest.raises(RecordingError, match="silent"):
        contamination(np.zeros_like(audio), seeg, FS, LABELS)
    with pytest.raises(RecordingError, match="at least 20 s"):
        contamination(audio[:5000], seeg[:5000], FS, LABELS)
    with pytest.raises(SettingsError, match="below 128 Hz"):
        contamination(audio, seeg, 256.0, LABELS)


def test_result_goes_into_a_file(leaking):
    import json

    told = json.loads(json.dumps(check_contamination(leaking.recording).as_json()))
    assert told["contaminated"] and len(told["contacts"]) == 40
    assert told["contacts"][0]["contact"] == leaking.recording.labels[0]
