"""The copy-synthesis evaluation: its pieces, its table and its manners."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.errors import BusyOutputError, RecordingError
from training import copy_synthesis as cs

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("librosa")
pytest.importorskip("pystoi")

RATE = 16_000


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Harmonic complexes and noise in turn, with pauses: enough for STOI to have frames."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    voiced = sum(np.sin(2 * np.pi * 180 * h * t) / h for h in range(1, 20))
    envelope = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * t)
    turn = (np.floor(t * 4) % 3)[:, None] == np.arange(3)
    return 0.1 * envelope * (turn[:, 0] * voiced + turn[:, 1] * rng.normal(0, 0.5, len(t)))


@pytest.fixture
def two_voices(tmp_path: Path) -> Path:
    for voice in ("anna", "bert"):
        folder = tmp_path / "data" / voice / "deeper"
        folder.mkdir(parents=True)
        soundfile.write(folder / "one.wav", babble(3.0, len(voice)), RATE)
        soundfile.write(folder / "short.wav", babble(1.0), RATE)
    return tmp_path / "data"


def test_the_command_scores_every_voice_and_vocoder(two_voices, tmp_path, capsys) -> None:
    out = tmp_path / "scores.json"
    assert cs.main([str(two_voices), "--json", str(out), "--per-voice", "3"]) == 0
    scores = json.loads(out.read_text())
    # (original) once, then phase, rtisi and Griffin-Lim on clean and on smoothed mels; 2 voices.
    assert len(scores) == 2 * (1 + 3 * 2)
    assert all(s["utterances"] == 1 for s in scores)
    assert all(s["stoi"] > 0.999 for s in scores if s["vocoder"] == cs.ORIGINAL)
    # Far from speech, but copies must resemble it; a shift of one hop would cost more than this.
    assert all(s["stoi"] > 0.8 for s in scores if s["mel"] == "clean")
    printed = capsys.readouterr().out
    assert printed.count("phase") == 4
    assert list(tmp_path.glob("*.part")) == []


def test_an_existing_result_is_not_overwritten(two_voices, tmp_path, capsys) -> None:
    out = tmp_path / "scores.json"
    out.write_text("mine")
    assert cs.main([str(two_voices), "--json", str(out)]) == 2
    assert "exists" in capsys.readouterr().err
    assert out.read_text() == "mine"
    with pytest.raises(BusyOutputError):
        cs.write_json([], out)


def test_a_directory_without_recordings_is_refused(tmp_path) -> None:
    with pytest.raises(RecordingError, match="per voice"):
        cs.voices(tmp_path)


def test_only_short_recordings_are_refused(tmp_path, capsys) -> None:
    (tmp_path / "v").mkdir()
    soundfile.write(tmp_path / "v" / "a.wav", babble(1.0), RATE)
    assert cs.main([str(tmp_path)]) == 2
    assert "suitable length" in capsys.readouterr().err


def test_smoothing_keeps_length_and_constants() -> None:
    mel = np.full((10, 80), -3.0, np.float32)
    assert np.array_equal(cs.smooth(mel), mel)
    mel[5] = 4.0
    # One frame of seven is 7 higher.
    assert np.allclose(cs.smooth(mel)[2:9], -2.0)
    assert np.allclose(cs.smooth(mel)[:2], -3.0)


def test_buzz_hears_pulses_and_not_noise() -> None:
    noise = np.random.default_rng(0).normal(size=5 * RATE)
    # The power of 667 half hops, smoothed over six samples: a few per cent of scatter.
    assert cs.buzz(noise) < 1.2
    pulses = noise * (np.arange(len(noise)) % 120 < 12)
    assert cs.buzz(pulses) > 5


def test_scores_fall_when_the_copy_is_late() -> None:
    audio = babble(4.0)
    same = cs.stoi_pair(audio, audio)
    late = cs.stoi_pair(audio, np.concatenate([np.zeros(480), audio]))
    assert same[0] > 0.999
    assert late[1] < same[1] - 0.02
