"""The simulated patient: reproducible, with its truth, and honest without a signal."""

import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.errors import BusyOutputError, RecordingError, SettingsError
from tools.simulate import add_parser
from training import dutch, speech
from training.baselines import LinearBaseline, hop_features, paper_scores
from training.cross_validation import cross_validate
from training.evaluate import EvaluationSettings
from training.folds import FoldSettings
from training.patient import PatientSettings, simulate
from training.patient.calibrate import components_r
from training.patient.drive import utterance_classes
from training.patient.session import AUDIO_CLOCK_HZ, schedule
from training.settings import ExperimentSettings

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
SMALL = {"minutes": 2.0, "shafts": 2, "contacts_per_shaft": 10, "informative": 0.3}


def score(**changed):
    """Mean r of the frozen baseline, ten contiguous folds with a gap, and the patient."""
    made = simulate(PatientSettings(**{**SMALL, **changed}))
    recording = made.recording
    folds = paper_scores(recording.seeg, float(recording.fs), recording.audio, gap_s=0.5)
    return float(folds.mean()), made


@pytest.fixture(scope="module")
def patient():
    return score(gain=1.1)


@pytest.fixture(scope="module")
def no_signal():
    return score(gain=0.0)[0]


def test_speech_is_the_same_every_time():
    texts = ["fietsen", "de bakker zoekt een brug"]
    first, again = speech.synthesise(texts, seed=3), speech.synthesise(texts, seed=3)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.audio, b.audio)
        assert a.phones == b.phones
    other = speech.synthesise(texts, seed=4)
    assert len(other[0].audio) != len(first[0].audio)


def test_phones_cover_the_word_with_their_classes():
    said = speech.synthesise(["maan"], seed=0)[0]
    labels = "".join(p.label for p in said.phones)
    assert "m" in labels and "n" in labels and "a" in labels
    assert all(-0.2 < p.onset_s < said.seconds for p in said.phones)
    nasal = utterance_classes(said)[:, 4]
    assert 0 < nasal.mean() < 1
    assert nasal[: len(nasal) // 8].all()  # it starts with m


def test_word_list_is_large_and_distinct():
    assert len(set(dutch.WORDS)) == len(dutch.WORDS) >= 120
    drawn = dutch.words(len(dutch.WORDS), np.random.default_rng(0))
    assert len(set(drawn)) == len(drawn)


def test_unknown_voice_is_refused():
    with pytest.raises(SettingsError, match="no voice 'klingon9'"):
        speech.synthesise(["a"], voice="klingon9")


def test_own_speech_needs_files(tmp_path):
    with pytest.raises(RecordingError, match="no speech in"):
        speech.read_folder(tmp_path)
    with pytest.raises(RecordingError, match="no such folder"):
        speech.read_folder(tmp_path / "nothing")
    (tmp_path / "a.wav").write_bytes(b"RIFF no audio")
    with pytest.raises(RecordingError, match="cannot be read"):
        speech.read_folder(tmp_path)


def test_own_speech_drives_a_patient(tmp_path):
    import soundfile

    rng = np.random.default_rng(0)
    for i in range(4):
        sound = rng.normal(0, 0.1, (16_000, 2)) * np.hanning(16_000)[:, None]
        soundfile.write(tmp_path / f"word{i}.wav", sound, 16_000)
    own = speech.read_folder(tmp_path)
    settings = PatientSettings(**{**SMALL, "minutes": 0.5, "repeat_speech": True})
    made = simulate(settings, own)
    assert {t.text for t in made.recording.trials} <= {f"word{i}" for i in range(4)}
    assert made.truth.speech_source == "4 recorded utterances"


def test_words_too_long_for_the_pace_are_refused():
    long = speech.Utterance("lang", np.ones(48_000, np.float32), 16_000, None)
    with pytest.raises(SettingsError, match="sentences"):
        schedule(PatientSettings(minutes=1), [long])


def own_words(count, seconds=1.0):
    return [
        speech.Utterance(f"eigen {i}", np.ones(int(16_000 * seconds), np.float32), 16_000, None)
        for i in range(count)
    ]


@pytest.mark.parametrize("session", ["words", "sentences"])
def test_own_speech_is_not_said_twice(session):
    """A minute holds 19 paced words of one second, or some 25 s of free speech."""
    wanted = PatientSettings(minutes=1, session=session)
    said = [p.utterance.text for p in schedule(wanted, own_words(40))]
    assert len(set(said)) == len(said) >= 15
    with pytest.raises(SettingsError, match=r"^8\.0 s of speech in 8 utterances") as caught:
        schedule(wanted, own_words(8))
    needed = int(str(caught.value).split("expected about ")[1].split(" s for 1 minutes")[0])
    assert 15 <= needed <= 35
    assert str(caught.value).endswith("give more speech or fewer minutes")
    again = schedule(wanted.model_copy(update={"repeat_speech": True}), own_words(8))
    assert len(again) > 8 == len({p.utterance.text for p in again})


def test_own_speech_as_long_as_the_session_is_enough():
    """19 words of 3 s after a lead-in of 1 s leave 2 s of a minute."""
    assert len(schedule(PatientSettings(minutes=1), own_words(19))) == 19
    with pytest.raises(SettingsError, match="18 utterances"):
        schedule(PatientSettings(minutes=1), own_words(18))


def test_own_speech_of_a_mixed_session_is_not_shared_between_its_kinds():
    mixed = PatientSettings(minutes=1.5, session="mixed")
    own = own_words(30) + [
        speech.Utterance(f"zin {i}", np.ones(40_000, np.float32), 16_000, None) for i in range(15)
    ]
    said = [p.utterance.text for p in schedule(mixed, own)]
    assert len(set(said)) == len(said)
    assert {text.split()[0] for text in said} == {"eigen", "zin"}
    with pytest.raises(SettingsError, match="speech"):
        schedule(mixed, own_words(30))


def silent_voice(texts, voice="nl", seed=0):
    """Utterances of a plausible length without the time espeak-ng takes: 0.4 s a word."""
    return [
        speech.Utterance(text, np.ones(6400 * len(text.split()), np.float32), 16_000, None)
        for text in texts
    ]


@pytest.mark.parametrize("minutes", [7, 10])
@pytest.mark.parametrize("session", ["words", "sentences", "mixed"])
def test_built_in_speech_is_not_said_twice(monkeypatch, session, minutes):
    monkeypatch.setattr("training.patient.session.synthesise", silent_voice)
    for seed in range(5):
        placed = schedule(PatientSettings(minutes=minutes, session=session, seed=seed), None)
        said = [p.utterance.text for p in placed]
        assert len(set(said)) == len(said)
        # No utterance with its pause is longer than 12 s.
        assert placed[-1].onset_s > minutes * 60 - 12


def test_built_in_words_run_out(monkeypatch):
    monkeypatch.setattr("training.patient.session.synthesise", silent_voice)
    long = PatientSettings(minutes=30)
    with pytest.raises(SettingsError, match=f"{len(dutch.WORDS)} utterances"):
        schedule(long, None)
    assert len(schedule(long.model_copy(update={"repeat_speech": True}), None)) > len(dutch.WORDS)


def test_built_in_sentences_differ():
    for seed in range(5):
        drawn = dutch.sentences(2000, np.random.default_rng(seed))
        assert len(set(drawn)) == len(drawn) == 2000


def test_same_settings_same_recording():
    settings = PatientSettings(**{**SMALL, "minutes": 0.5})
    a, b = simulate(settings).recording, simulate(settings).recording
    np.testing.assert_array_equal(a.seeg, b.seeg)
    np.testing.assert_array_equal(a.audio, b.audio)
    assert a.trials == b.trials
    other = simulate(settings.model_copy(update={"seed": 1})).recording
    assert not np.array_equal(a.seeg, other.seeg)


def test_gain_changes_informative_shafts_only():
    """Zero gain and full gain share all noise: a difference is signal and nothing else."""
    settings = PatientSettings(**{**SMALL, "minutes": 0.5, "shafts": 6, "informative": 0.05})
    with_signal = simulate(settings)
    without = simulate(settings.model_copy(update={"gain": 0.0}))
    changed = (with_signal.recording.seeg != without.recording.seeg).any(axis=0)
    shafts = {name[:2] for name, c in zip(with_signal.recording.labels, changed, strict=True) if c}
    truth = with_signal.truth.as_json()["informative"]
    assert shafts == {entry["contact"][:2] for entry in truth}
    np.testing.assert_array_equal(with_signal.recording.audio, without.recording.audio)


@pytest.mark.parametrize("fs", [512, 1000, 1024, 2048])
def test_every_rate_has_shape_and_scale(fs):
    made = simulate(PatientSettings(**{**SMALL, "minutes": 0.4, "fs_hz": fs}))
    recording = made.recording
    assert recording.seeg.shape == (24 * fs, 20) and recording.seeg.dtype == np.float32
    assert len(recording.audio) == round(24 * AUDIO_CLOCK_HZ)
    good = [i for i, n in enumerate(recording.labels) if n not in made.truth.dead]
    good = [i for i in good if recording.labels[i] not in made.truth.saturated]
    spread = recording.seeg[:, good].std(axis=0)
    assert ((spread > 10) & (spread < 150)).all()


def test_sessions_are_paced_or_not():
    words = schedule(PatientSettings(minutes=1, session="words"), None)
    assert np.allclose(np.diff([p.trial.onset_s for p in words]), 3)
    delays = [p.onset_s - p.trial.onset_s for p in words]
    assert min(delays) >= 0.55 and max(delays) <= 0.90
    sentences = schedule(PatientSettings(minutes=1, session="sentences"), None)
    gaps = [b.onset_s - a.onset_s - a.utterance.seconds for a, b in pairwise(sentences)]
    assert min(gaps) > 0.5 and np.std(gaps) > 0.1
    mixed = schedule(PatientSettings(minutes=2, session="mixed"), None)
    lengths = [len(p.utterance.text.split()) for p in mixed]
    assert min(lengths) == 1 and max(lengths) > 3


def test_truth_tells_all(patient, tmp_path):
    _, made = patient
    made.truth.write(tmp_path / "truth.json")
    told = json.loads((tmp_path / "truth.json").read_text())
    assert len(told["informative"]) == 6
    assert all(0.03 <= abs(c["lag_s"]) <= 0.2 for c in told["informative"])
    assert told["settings"]["gain"] == 1.1 and told["leaked"] == []
    assert len(told["spoken"]) == len(made.recording.trials)
    assert not set(told["dead"]) & {c["contact"] for c in told["informative"]}
    with pytest.raises(BusyOutputError):
        made.truth.write(tmp_path / "truth.json")


def test_dead_and_saturated_are_what_the_truth_says(patient):
    _, made = patient
    flat = {
        name
        for name, column in zip(made.recording.labels, made.recording.seeg.T, strict=True)
        if column.std() == 0
    }
    assert flat == set(made.truth.dead) and len(flat) == 2
    for name in made.truth.saturated:
        column = made.recording.seeg[:, made.recording.labels.index(name)]
        assert np.mean(np.abs(column) == 3200) > 0.5


def test_good_patient_is_decodable(patient):
    r, _ = patient
    assert r > 0.5


def test_default_difficulty_is_that_of_published_recordings():
    """A coarse guard with 20 contacts: between the lowest and the highest published patient.

    `python -m training.patient.calibrate` measures it with all contacts.
    """
    found = [score(seed=seed)[0] for seed in (0, 1)]
    assert 0.52 < np.mean(found) < 0.86, found


def test_components_are_scored_as_an_evaluation_scores_them(patient):
    recording = patient[1].recording
    wanted = EvaluationSettings(
        baselines=("linear",), retrainings=0, sound=False, contamination=False
    )
    folds = cross_validate(
        recording, ExperimentSettings(), FoldSettings(count=5), wanted, network=False
    )
    expected = np.mean([line.components_r for line in folds.lines("linear")])
    assert components_r(recording) == pytest.approx(expected, abs=1e-6)


def test_the_verb_has_the_default_difficulty():
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    assert parser.parse_args(["simulate", "write", "x"]).gain == PatientSettings().gain


def test_no_signal_no_score(no_signal):
    """Bound 0.1: over six seeds single scores of two minutes had mean 0.02 and sd 0.05, so the
    standard error of three is 0.03. (At five minutes three patients gave -0.03 to 0.00.)"""
    found = [no_signal, *(score(gain=0.0, seed=seed)[0] for seed in (1, 2))]
    assert abs(np.mean(found)) < 0.1


def test_leaked_audio_alone_decodes(no_signal):
    """Without any neural signal, leaked audio must look like a decoder: that is the warning."""
    leaked, made = score(gain=0.0, leak_db=6.0)
    assert leaked > no_signal + 0.2
    assert len(made.truth.leaked) == 5


def test_baseline_fits_the_hop_grid(patient):
    """Sanity of the 15 ms features: they predict the on/off of held-out speech."""
    _, made = patient
    recording = made.recording
    frames = int(recording.seconds / 0.015)
    x = hop_features(recording.seeg, recording.fs, frames)
    assert x.shape == (frames, 9 * 20)
    spoken = np.zeros((frames, 1))
    for onset, length, _ in made.truth.spoken:
        spoken[round(onset / 0.015) : round((onset + length) / 0.015)] = 1
    half = frames // 2
    model = LinearBaseline.fit(x[:half], spoken[:half])
    guess = model.predict(x[half + 40 :])[:, 0]
    assert np.corrcoef(guess, spoken[half + 40 :, 0])[0, 1] > 0.5


@pytest.mark.shared_data
def test_background_falls_like_real_recordings():
    """RIPPLELAB's 4-40 Hz slopes are -2.6 to -3.5 (NOTES section 4); ours within 0.5 of that."""
    from scipy.io import loadmat
    from scipy.signal import welch

    folder = SHARED / "ripplelab_ieeg_3x300s"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")

    def slope(trace, fs):
        hz, power = welch(trace, fs, nperseg=int(2 * fs))
        band = (hz >= 4) & (hz <= 40)
        return np.polyfit(np.log10(hz[band]), np.log10(power[band]), 1)[0]

    try:
        real = loadmat(folder / "TestFile_01.mat")["Data"]
    except NotImplementedError:
        import h5py

        with h5py.File(folder / "TestFile_01.mat") as file:
            real = np.asarray(file["Data"])
    real = np.squeeze(real)
    real = real if real.shape[0] > real.shape[1] else real.T
    measured = np.median([slope(real[:, i], 1024) for i in range(real.shape[1])])
    made = simulate(PatientSettings(**{**SMALL, "minutes": 1.0, "gain": 0.0})).recording
    ours = np.median([slope(made.seeg[:, i], 1024) for i in range(20) if made.seeg[:, i].std() > 0])
    assert -3.5 - 0.5 < ours < -2.6 + 0.5
    assert abs(ours - measured) < 1.0
