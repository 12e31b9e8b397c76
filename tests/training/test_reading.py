"""Training takes a recording with its options, its bad contacts and where its sound is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.errors import SettingsError
from models.spec import FrontEndSpec
from realtime.recordings import Recording, read_recording
from tests.training.recordings import tiny_recording
from tests.training.toy import short
from training import reading
from training.experiment import load, train
from training.reading import read_for, settings_for
from training.settings import ExperimentSettings, RecordingSettings


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return read_recording(tiny_recording(tmp_path_factory.mktemp("tiny")))


def test_bad_contacts_and_line_frequency_of_the_recording_are_used(recording: Recording) -> None:
    settings = ExperimentSettings(front_end=FrontEndSpec(bad_contacts=(recording.labels[0],)))
    told = replace(recording, bad_contacts=recording.labels[:2], line_hz=60.0)
    found = settings_for(told, settings).front_end
    assert found.bad_contacts == recording.labels[:2]
    assert found.line_hz == 60
    # What the settings name wins.
    fixed = ExperimentSettings(front_end=FrontEndSpec(line_hz=50))
    assert settings_for(told, fixed).front_end.line_hz == 50
    assert settings_for(recording, settings) is settings
    with pytest.raises(SettingsError, match=r"16\.7 Hz.*50 or 60 Hz"):
        settings_for(replace(told, line_hz=16.7), settings)


def test_silence_is_not_taught_where_nothing_was_recorded(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ExperimentSettings(recording=RecordingSettings(line_hz=60))
    asked: dict[str, object] = {}

    def read(path: Path, **options: object) -> Recording:
        asked.update(options)
        missing = int(3 * recording.audio_rate)
        return replace(recording, audio=recording.audio[missing:], audio_start_s=3.0)

    monkeypatch.setattr(reading, "read_recording", read)
    found = read_for(recording.path, settings)
    assert asked["line_hz"] == 60
    assert len(recording.seeg) - len(found.seeg) == pytest.approx(3 * 1024, abs=2)
    assert np.array_equal(found.seeg, recording.seeg[-len(found.seeg) :])
    monkeypatch.undo()
    whole = read_for(recording.path, ExperimentSettings())
    assert len(whole.seeg) == len(recording.seeg)


def test_an_experiment_keeps_what_the_recording_said(
    tmp_path: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = (recording.labels[1],)
    monkeypatch.setattr(
        reading, "read_recording", lambda path, **_: replace(recording, bad_contacts=bad)
    )
    train(recording.path, short(1, 1), tmp_path / "e", progress=False)
    experiment = load(tmp_path / "e")
    assert experiment.settings.front_end.bad_contacts == bad
    assert experiment.trained.spec.front_end.bad_contacts == bad
