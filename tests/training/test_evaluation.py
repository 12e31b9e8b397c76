"""The evaluation itself: nothing of the held-out part in what is fitted, nothing out of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.hops import HopClock
from realtime.recordings import Recording, read_recording
from tests.bundles import TINY_NETWORK, tiny_trained
from tests.training.recordings import tiny_recording
from training.baselines import LinearBaseline, fit_baselines, hop_features
from training.contribution import liveliest, occlude
from training.cross_validation import CrossValidation, cross_validate, format_folds
from training.evaluate import NETWORK, EvaluationSettings, evaluate_held_out, linear_mel
from training.experiment import load, train
from training.folds import FoldSettings, make_folds
from training.held_out import HeldOut, held_out_fold, single_fold, split_cues
from training.nwb import write_recording
from training.patient import PatientSettings, simulate
from training.prepare import prepare
from training.proof import decode_offline
from training.retraining import retrain_linear, rolled
from training.scores import Reference
from training.settings import ExperimentSettings, OptimiserSettings, PhaseSettings
from training.speech import Utterance
from training.streamed import network_of, streamed


def short(steps: int, **more: float) -> ExperimentSettings:
    phase = PhaseSettings(steps=steps, batch=6, stretch_hops=60, warm_hops=15, learning_rate=5e-3)
    optimiser = OptimiserSettings(encoder=phase, network=phase)
    return ExperimentSettings(network=TINY_NETWORK, optimiser=optimiser, **more)


def words(seed: int = 0) -> list[Utterance]:
    """Voiced tones that stand for words."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(40):
        t = np.arange(int(16_000 * rng.uniform(0.5, 1.1))) / 16_000
        phase, tilt = 2 * np.pi * rng.uniform(100, 220) * t, rng.uniform(0.6, 1.6)
        swell = 0.2 * np.sin(np.pi * t / t[-1]) ** 2
        tone = swell * sum(np.sin(k * phase) / k**tilt for k in range(1, 12))
        made.append(Utterance(f"word {i}", tone.astype(np.float32), 16_000, None))
    return made


def paced_patient(gain: float, minutes: float, seed: int = 0) -> Recording:
    settings = PatientSettings(
        seed=seed,
        minutes=minutes,
        session="words",
        repeat_speech=True,
        gain=gain,
        shafts=2,
        contacts_per_shaft=4,
        informative=0.5,
        dead_contacts=0,
        saturated_contacts=0,
    )
    return simulate(settings, words(seed)).recording


QUICK = EvaluationSettings(baselines=("linear",), retrainings=3, sound=False, contamination=False)


# --- a patient without signal -------------------------------------------------------------------


def test_a_patient_without_signal_scores_nothing_through_the_whole_trainer(tmp_path: Path) -> None:
    """300 s of paced words, no neural signal: recording file, training, streaming, scores.

    Half is held out, so that chance itself is narrow (95 % of shifts within .03). Over patients
    of seeds 0 to 4 the network's r was between -.014 and .030, the baselines' -.019 to .015.
    """
    nwb = write_recording(paced_patient(0.0, 5), tmp_path / "patient")
    train(nwb, short(40, test_fraction=0.5), tmp_path / "experiment", progress=False)
    experiment, recording = load(tmp_path / "experiment"), read_recording(nwb)
    held = held_out_fold(
        recording, experiment.settings, single_fold(recording, experiment.settings)
    )
    with network_of(experiment.trained) as network:
        found = evaluate_held_out(held, network, QUICK)
    line = found.table.line(NETWORK)
    assert found.table.frames * 0.015 > 140
    assert abs(line.mel_r) < 0.05 and abs(line.mel_r_speech) < 0.05
    assert abs(line.components_r) < 0.05
    assert line.chance_95 < 0.1, "chance must be narrow enough for this to mean something"
    assert line.p > 0.05 and line.p_trials is not None and line.p_trials > 0.05
    linear = found.table.line("linear")
    assert abs(linear.mel_r) < 0.05 and linear.p_retrained is not None


# --- nothing of the held-out part ---------------------------------------------------------------


def marked(recording: Recording, span: slice) -> Recording:
    """The same with a marker in the span: huge sEEG, and loud noise instead of the speech."""
    seeg, audio = recording.seeg.copy(), recording.audio.copy()
    rng = np.random.default_rng(0)
    seeg[span] = rng.normal(0, 1e3, seeg[span].shape)
    rate = recording.audio_rate / float(recording.fs)
    sound = slice(round(span.start * rate), round(span.stop * rate))
    audio[sound] = np.clip(rng.normal(0, 0.3, len(audio[sound])), -1, 1)
    return replace(recording, seeg=seeg, audio=audio)


def statistics(held: HeldOut) -> Iterator[np.ndarray]:
    """Everything that is fitted before the held-out part is scored."""
    yield from (held.statistics.mean, held.statistics.std)
    for part, piece in zip(held.training, held.pieces, strict=True):
        yield from (np.asarray(part.features), part.mel, piece.seeg)
    reference = Reference.fit(held.mel, held.training_mel, held.cues)
    yield from (
        np.array(reference.threshold),
        reference.components.mean,
        reference.components.basis,
    )
    yield reference.without_neural_data()["mean spectrum"][:1]
    probe = np.random.default_rng(1).normal(0, 30, (4096, 8)).astype(np.float32)
    for fitted in fit_baselines(("linear", "causal ridge"), held.pieces, held.spec).values():
        yield fitted.predict(probe)


def test_a_marker_in_the_held_out_part_is_in_no_statistic() -> None:
    """Bit for bit, with training on both sides of the held-out part."""
    recording, settings = paced_patient(2.0, 1.2), ExperimentSettings(network=TINY_NETWORK)
    fold = make_folds(recording, FoldSettings(count=3))[1]
    plain, dirty = (
        held_out_fold(made, settings, fold) for made in (recording, marked(recording, fold.test))
    )
    assert np.abs(dirty.seeg).max() > 10 * np.abs(plain.seeg).max()
    assert np.abs(dirty.mel - plain.mel).max() > 3
    for clean, found in zip(statistics(plain), statistics(dirty), strict=True):
        np.testing.assert_array_equal(clean, found)
    # Resampled as a whole to 1024 Hz, whose filter reaches half a second: -150 dB of the marker.
    for clean, found in zip(plain.training_sound, dirty.training_sound, strict=True):
        np.testing.assert_allclose(clean, found, atol=1e-6)
    # The test can fail: a marker in the training part is found at once.
    spoilt = held_out_fold(marked(recording, fold.train[0]), settings, fold)
    assert not np.array_equal(spoilt.statistics.std, plain.statistics.std)


def test_cues_lie_where_the_trials_are() -> None:
    recording, settings = paced_patient(0.0, 1.2), short(1)
    fold = make_folds(recording, FoldSettings(count=3))[1]
    held = held_out_fold(recording, settings, fold)
    assert len(held.cues.held_out) == len(fold.trials) and held.cues.held_out[0] == 0
    assert set(np.diff(held.cues.held_out)) <= {200}  # 3 s
    frames = [len(part.mel) for part in held.training]
    assert max(held.cues.training) < sum(frames) and len(held.cues.training) > 10
    second = [cue - frames[0] for cue in held.cues.training if cue >= frames[0]]
    assert second[0] == 0
    single = split_cues(recording, settings)
    assert single.held_out[0] == 0 and len(single.training) + len(single.held_out) == 23


def test_the_linear_baseline_of_a_bundle_is_the_frozen_one() -> None:
    """Bit for bit, as nothing was given up; a contact that was is not seen."""
    recording, settings = paced_patient(2.0, 1.2), short(1, test_fraction=0.3)
    prepared = prepare(recording, settings)
    fs, hops = prepared.spec.fs_hz, len(prepared.training.mel)
    model = LinearBaseline.fit(
        hop_features(prepared.training_seeg, fs, hops), prepared.training.mel
    )
    direct = model.predict(hop_features(prepared.held_out_seeg, fs, len(prepared.held_out_mel)))
    np.testing.assert_array_equal(linear_mel(prepared), direct)
    front_end = settings.front_end.model_copy(update={"bad_contacts": recording.labels[:1]})
    fewer = prepare(recording, settings.model_copy(update={"front_end": front_end}))
    changed = fewer.held_out_seeg.copy()
    changed[:, 0] = 0
    again = linear_mel(replace(fewer, held_out_seeg=changed))
    np.testing.assert_array_equal(linear_mel(fewer), again)


# --- streaming and contacts ---------------------------------------------------------------------


def test_streamed_is_offline() -> None:
    """The step graphs against torch at once, with look-ahead; tolerance of the export's proof."""
    trained = tiny_trained(target_lookahead=3)
    seeg = np.random.default_rng(0).normal(0, 30, (4 * 1024, 8)).astype(np.float32)
    offline = decode_offline(trained.network, trained.spec, trained.front_end().step(seeg))[3:]
    with streamed(trained) as network:
        decoded, quick = network.decode(seeg), network.mel(seeg)
    np.testing.assert_allclose(decoded.mel, offline, atol=1e-4)
    np.testing.assert_allclose(quick, decoded.mel, atol=1e-4)
    assert decoded.attention is not None and len(decoded.attention) == len(decoded.mel)
    np.testing.assert_allclose(decoded.attention[20:].sum(axis=1), 1, atol=1e-5)


def test_the_contact_that_carries_everything_is_named() -> None:
    clock = HopClock(recording_fs := tiny_trained().spec.fs_hz)
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.normal(size=(100, 1)), 10, axis=0) @ np.ones((1, 80))
    seeg = np.zeros((clock.end(999), 4), np.float32)
    seeg[:, 2] = np.repeat(truth[:, 0], np.diff([0, *(clock.end(k) for k in range(1000))]))

    def decode(samples: np.ndarray) -> np.ndarray:
        hops = clock.hops_in(len(samples))
        at = [clock.end(k) - 1 for k in range(hops)]
        drive = np.nan_to_num(samples[at]).sum(axis=1, keepdims=True)
        return drive @ np.ones((1, 80)) + 1e-3 * rng.normal(size=(hops, 80))

    spoken = np.ones(1000, bool)
    found = occlude(decode, ("a", "b", "c", "d"), seeg, truth, spoken, clock, 9.0)
    drops = {c.contact: c.drop for c in found.contacts}
    assert drops["c"] > 0.8 and max(abs(drops[name]) for name in "abd") < 0.01
    assert found.seconds == pytest.approx(9.0) and recording_fs == 1024


def test_the_excerpt_is_where_speech_is() -> None:
    spoken = np.zeros(1000, bool)
    spoken[640:700] = True
    assert 600 <= liveliest(spoken, 100) <= 640
    assert liveliest(spoken, 2000) == 0


# --- retraining and folds -----------------------------------------------------------------------


def test_rolled_targets_are_the_same_elsewhere() -> None:
    recording = paced_patient(0.0, 1.2)
    held = held_out_fold(recording, short(1), single_fold(recording, short(1)))
    part = held.training[0]
    for place in (0.0, 0.5, 1.0):
        moved = rolled(part, place)
        at = int(np.flatnonzero((part.mel == moved.mel[0]).all(axis=1))[0])
        assert 5 / 0.015 - 1 <= at <= len(part.mel) - 5 / 0.015 + 1
        np.testing.assert_array_equal(np.roll(moved.mel, at, axis=0), part.mel)
    fitted = fit_baselines(("linear",), held.pieces, held.spec)["linear"]
    nulls = retrain_linear(held, fitted, 12)
    assert len(nulls) == 12 and all(null.shape == held.mel.shape for null in nulls)


@pytest.fixture(scope="module")
def validated_folds(tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    recording = read_recording(tiny_recording(tmp_path_factory.mktemp("folds"), minutes=1.0))
    return cross_validate(
        recording, short(15), FoldSettings(count=2), QUICK, exclude_contaminated=True
    )


def test_folds_have_intervals_and_differences(validated_folds: CrossValidation) -> None:
    found = validated_folds
    assert found.names[:2] == (NETWORK, "linear") and len(found.folds) == 2
    r = [line.mel_r for line in found.lines("linear")]
    interval = found.intervals("linear")["mel_r"]
    assert interval is not None and interval.mean == pytest.approx(np.mean(r))
    # Student's t at one degree of freedom: 12.706.
    half = 12.706 * np.std(r, ddof=1) / 2**0.5
    assert interval.high - interval.mean == pytest.approx(half, rel=1e-3)
    paired = found.differences(NETWORK)["linear"]["mel_r"]
    assert paired is not None
    assert paired.mean == pytest.approx(found.intervals(NETWORK)["mel_r"].mean - interval.mean)
    text = format_folds(found)
    assert "patients, not folds" in text and "[" in text
    import json

    plain = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert plain["summary"]["linear"]["mel_r"]["count"] == 2
    assert plain["guard_s"] >= 0.5 and "patients" in plain["unit"]
