"""Nothing of the held-out part in training, and recordings that do not serve."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import RecordingError, SettingsError
from models.networks.decoder import Codes
from models.spec import OutputSpec
from realtime.recordings import Recording, Trial
from tests.bundles import TINY_CONTACTS, TINY_NETWORK, noise_uv
from tests.training.toy import short
from training.fit import build_network, fit, set_statistics
from training.prepare import prepare, prepare_parts

SECONDS = 40
SETTINGS = short(2, 2, top={"validation": {"fraction": 0.2}, "test_fraction": 0.2})


def recording() -> Recording:
    """A trial every 4 s: 2 s of tone, 2 s of quiet."""
    rng = np.random.default_rng(0)
    t = np.arange(SECONDS * 16_000) / 16_000
    sound = 0.1 * np.sin(2 * np.pi * 200 * t) * (t % 4 < 2) + 1e-4 * rng.standard_normal(len(t))
    return Recording(
        path=Path("toy"),
        seeg=noise_uv(SECONDS),
        fs=Fraction(1024),
        labels=TINY_CONTACTS,
        audio=sound.astype(np.float32),
        audio_rate=16_000.0,
        audio_start_s=0.0,
        trials=tuple(Trial(4.0 * i, 2.0, str(i)) for i in range(SECONDS // 4)),
    )


def marked(whole: Recording, start_s: float) -> Recording:
    """The same until `start_s`, a loud marker in sEEG and sound after it."""
    seeg, audio = whole.seeg.copy(), whole.audio.copy()
    seeg[int(start_s * 1024) :] *= 50
    audio[int(start_s * 16_000) :] = np.sign(np.sin(np.arange(len(audio)) / 3))[
        int(start_s * 16_000) :
    ]
    return dataclasses.replace(whole, seeg=seeg, audio=audio)


@pytest.mark.parametrize("cached", [False, True])
def test_a_marker_in_held_out_parts_changes_no_statistic(cached: bool, tmp_path: Path) -> None:
    """Bit for bit: z-score, mel mean and deviation, codes, features, targets, trained weights.

    The marker begins with the validation part: that may steer when to stop, no statistic.
    """
    plain = prepare(recording(), SETTINGS, tmp_path if cached else None)
    other = prepare(marked(recording(), 24.0), SETTINGS, tmp_path if cached else None)
    assert np.abs(other.held_out_seeg).max() > 10 * np.abs(plain.held_out_seeg).max()
    assert plain.validation is not None and other.validation is not None
    assert not np.array_equal(other.validation.mel, plain.validation.mel)
    np.testing.assert_array_equal(other.statistics.mean, plain.statistics.mean)
    np.testing.assert_array_equal(other.statistics.std, plain.statistics.std)
    np.testing.assert_array_equal(other.training.features, plain.training.features)
    np.testing.assert_array_equal(other.training.mel, plain.training.mel)
    discrete = TINY_NETWORK.model_copy(update={"output": OutputSpec(kind="discrete", codes=4)})
    networks = []
    for prepared in (plain, other):
        spec = prepared.spec.model_copy(update={"network": discrete})
        networks.append(fit([prepared.training], spec, SETTINGS, False).network)
    codes = networks[0].decoder.codes
    assert codes is not None and not torch.equal(codes.book, Codes(discrete.output, 80).book)
    for name, tensor in networks[0].state_dict().items():
        assert torch.equal(tensor, networks[1].state_dict()[name]), name


def test_the_marker_would_be_seen_in_training() -> None:
    """Else the test above could not fail."""
    plain, other = prepare(recording(), SETTINGS), prepare(marked(recording(), 20.0), SETTINGS)
    assert not np.array_equal(other.statistics.std, plain.statistics.std)
    networks = [build_network(p.spec, 8) for p in (plain, other)]
    for network, prepared in zip(networks, (plain, other), strict=True):
        set_statistics(network, prepared.training.mel)
    assert not torch.equal(networks[0].mel_mean, networks[1].mel_mean)


def test_parts_are_whole_trials_a_guard_apart() -> None:
    made = prepare(recording(), SETTINGS)
    assert made.held_out_start_s == 32.0
    assert made.validation is not None
    assert len(made.validation.features) == int(7.5 * 1024)
    assert len(made.training_seeg) == int(23.5 * 1024)


def test_spans_of_folds_share_statistics() -> None:
    spans = [slice(0, 10 * 1024), slice(20 * 1024, 40 * 1024)]
    made = prepare_parts(recording(), SETTINGS, spans, [slice(12 * 1024, 18 * 1024)])
    assert [len(part.features) for part in made.training] == [10 * 1024, 20 * 1024]
    assert len(made.validation[0].mel) == 400
    # Unit variance over both parts together, but for clipping and filters that start up.
    both = np.concatenate([part.features for part in made.training])
    np.testing.assert_allclose(both.std(0), 1.0, atol=0.02)


def test_no_trials() -> None:
    with pytest.raises(RecordingError, match="has no trials"):
        prepare(dataclasses.replace(recording(), trials=()), SETTINGS)


def test_silent_audio() -> None:
    silent = dataclasses.replace(recording(), audio=np.zeros(16_000 * SECONDS, np.float32))
    with pytest.raises(RecordingError, match="no speech in the training part"):
        prepare(silent, SETTINGS)


def test_audio_that_is_not_finite() -> None:
    whole = recording()
    whole.audio[7] = np.nan
    with pytest.raises(RecordingError, match="1 of 640000 audio samples"):
        prepare(whole, SETTINGS)


def test_contacts_that_are_never_finite() -> None:
    whole = recording()
    whole.seeg[:] = np.nan
    with pytest.raises(RecordingError, match="every contact is masked"):
        prepare(whole, SETTINGS)


def test_one_sample_of_one_contact_missing_is_masked_for_a_second() -> None:
    whole = recording()
    whole.seeg[5 * 1024, 3] = np.nan
    made = prepare(whole, SETTINGS)
    features = made.training.features
    assert np.isfinite(features).all()
    assert np.all(features[5 * 1024 : 6 * 1024, 3] == 0)
    assert np.all(features[6 * 1024 + 1 : 7 * 1024, 3] != 0)


def test_stretches_without_numbers_are_masked_in_every_contact_that_has_them() -> None:
    """Three seconds of all contacts, ten of one, and one contact without a single number."""
    whole = recording()
    whole.seeg[8 * 1024 : 11 * 1024] = np.nan
    whole.seeg[2 * 1024 : 12 * 1024, 1] = np.nan
    whole.seeg[:, 5] = np.nan
    made = prepare(whole, SETTINGS)
    features = np.asarray(made.training.features)
    assert np.isfinite(features).all() and np.isfinite(made.statistics.std).all()
    every = features[8 * 1024 : 12 * 1024 - 64]  # and a second until they are back
    assert np.all(every == 0)
    assert np.all(features[:, 5] == 0) and np.all(features[2 * 1024 : 13 * 1024 - 64, 1] == 0)
    assert np.any(features[13 * 1024 : 14 * 1024, :2] != 0, axis=0).all()
    fitted = fit([made.training], made.spec, SETTINGS, False)
    assert all(torch.isfinite(value).all() for value in fitted.network.state_dict().values())


def test_a_recording_shorter_than_a_stretch() -> None:
    long = short(2, 2, top={"test_fraction": 0.2}).model_dump()
    long["optimiser"]["network"]["stretch_hops"] = 4000
    settings = type(SETTINGS).model_validate(long)
    made = prepare(recording(), settings)
    with pytest.raises(RecordingError, match="expected more than 4000, one stretch"):
        fit([made.training], made.spec, settings, False)


def test_a_validation_part_shorter_than_a_stretch() -> None:
    made = prepare(recording(), SETTINGS)
    assert made.validation is not None
    few = dataclasses.replace(made.validation, mel=made.validation.mel[:59])
    with pytest.raises(RecordingError, match="validation part has 59 hops"):
        fit([made.training], made.spec, SETTINGS, False, validation=[few])


def test_fractions_that_leave_nothing() -> None:
    greedy = short(2, 2, top={"validation": {"fraction": 0.5}, "test_fraction": 0.5})
    with pytest.raises(SettingsError, match="at least one trial in every part"):
        prepare(recording(), greedy)
