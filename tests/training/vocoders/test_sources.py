"""What may be vocoded, what is refused, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import RecordingError
from models.mel import LOG_FLOOR, VOCODER_HOP
from tests.training.test_copy_synthesis import babble
from training.vocoders.sources import read_mel, read_source, read_speech, write_mel

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")


def written(folder: Path, samples: np.ndarray, rate: int, name: str = "a.wav") -> Path:
    soundfile.write(folder / name, samples, rate, subtype="FLOAT")
    return folder / name


def test_speech_is_cut_to_whole_hops(tmp_path: Path) -> None:
    for rate in (16_000, 22_050, 48_000):
        sound = np.interp(np.arange(0, 2.0, 1 / rate), np.arange(32_000) / 16_000, babble(2.0))
        source = read_source(written(tmp_path, sound, rate))
        assert source.audio is not None
        assert len(source.audio) == len(source.mel) * VOCODER_HOP
        assert 132 <= len(source.mel) <= 133
        assert source.notes == ()


def test_stereo_is_averaged_and_a_dead_channel_left_out(tmp_path: Path) -> None:
    sound = babble(2.0)
    both = read_speech(written(tmp_path, np.stack([sound, sound], 1), 16_000))
    one = read_speech(written(tmp_path, np.stack([sound, 0 * sound], 1), 16_000))
    np.testing.assert_allclose(both.mel, one.mel, atol=1e-4)
    assert any("channel 2 of 2 is silent" in note for note in one.notes)


def test_clipping_is_told_and_taken(tmp_path: Path) -> None:
    sound = np.clip(40 * babble(2.0), -1, 1)
    source = read_speech(written(tmp_path, sound, 16_000))
    assert len(source.notes) == 1
    assert "are clipped at full scale" in source.notes[0]
    # A peak of one sample at full scale is no clipping.
    touching = babble(2.0)
    touching *= 1 / np.abs(touching).max()
    assert read_speech(written(tmp_path, touching, 16_000)).notes == ()


@pytest.mark.parametrize(
    ("sound", "rate", "said"),
    [
        (babble(2.0)[::2], 8_000, "8000 samples a second; expected at least 16000"),
        (np.zeros(32_000), 16_000, "is silent"),
        (np.where(np.arange(32_000) == 99, np.nan, 0.1), 16_000, "1 samples that are NaN"),
        (babble(2.0)[:8_000], 16_000, "lasts 0.50 s"),
    ],
)
def test_useless_sound_is_refused(tmp_path: Path, sound: np.ndarray, rate: int, said: str) -> None:
    with pytest.raises(RecordingError, match=said):
        read_source(written(tmp_path, sound, rate))


def test_mel_frames_survive_a_file(tmp_path: Path) -> None:
    mel = np.random.default_rng(0).uniform(-11, 1, (50, 80)).astype(np.float32)
    write_mel(tmp_path / "a.npz", mel)
    np.save(tmp_path / "b.npy", mel.astype(np.float64))
    for name in ("a.npz", "b.npy"):
        source = read_source(tmp_path / name)
        np.testing.assert_array_equal(source.mel, mel)
        assert source.audio is None


@pytest.mark.parametrize(
    ("mel", "said"),
    [
        (np.full((80, 33), -3.0), r"shape \(80, 33\).*transpose it"),
        (np.full((33, 40), -3.0), r"shape \(33, 40\); expected \(hops, 80\)"),
        (np.zeros((0, 80)), r"shape \(0, 80\)"),
        (np.full((33, 80), np.nan), "not all finite"),
        (np.full((33, 80), -5), "int64"),
        (np.linspace(-80, 0, 800).reshape(10, 80), "decibels"),
        (np.linspace(0.1, 3, 800).reshape(10, 80), "decibels"),
        (np.linspace(-9, 30, 800).reshape(10, 80), "decibels"),
    ],
)
def test_what_are_no_mel_frames(tmp_path: Path, mel: np.ndarray, said: str) -> None:
    np.save(tmp_path / "mel.npy", mel)
    with pytest.raises(RecordingError, match=said):
        read_mel(tmp_path / "mel.npy")


def test_frames_made_otherwise_are_refused_by_name(tmp_path: Path) -> None:
    mel = np.full((9, 80), -3.0, np.float32)
    np.savez(tmp_path / "a.npz", mel=mel, hop_s=256 / 22050, fmax_hz=7600)
    with pytest.raises(RecordingError, match=r"fmax_hz 7600, hop_s 0\.0116"):
        read_source(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", spectrum=mel)
    with pytest.raises(RecordingError, match="an array named 'mel'"):
        read_source(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"PK nothing")
    with pytest.raises(RecordingError, match="cannot be read"):
        read_source(tmp_path / "c.npz")
    np.save(tmp_path / "d.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(RecordingError, match="cannot be read"):
        read_source(tmp_path / "d.npy")


def test_a_folder_that_is_no_session(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"a folder and no session.*--table"):
        read_source(tmp_path)


def test_silence_is_a_mel_frame(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((9, 80), LOG_FLOOR, np.float32))
    assert len(read_source(tmp_path / "a.npy").mel) == 9
