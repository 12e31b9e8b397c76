"""Two audio files against each other, and everything that may be wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import RecordingError
from models.mel import RATE, log_mel
from training import against

sf = pytest.importorskip("soundfile")

KEYS = {
    *("mel_r", "mel_r_speech", "oracle_mel_r", "stoi", "estoi", "mcd_db", "mcd_dtw_db"),
    *("voicing_error", "voicing_error_speech", "log_f0_r", "chance"),
}
CHANCE = {"mel_r_95", "mel_r_p", "mel_r_speech_95", "mel_r_speech_p", "shifts"}


def speech(seconds: float = 14.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Voiced syllables of changing pitch and timbre at irregular times, `(n,)`."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(rate * seconds)) / rate
    out = 1e-4 * rng.standard_normal(len(t))
    at = 0.2
    while at < seconds - 0.5:
        length, f0, tilt = rng.uniform(0.15, 0.4), rng.uniform(100, 220), rng.uniform(0.5, 1.8)
        inside = (t >= at) & (t < at + length)
        phase = 2 * np.pi * f0 * (t[inside] - at)
        swell = np.sin(np.pi * (t[inside] - at) / length) ** 2
        out[inside] += 0.1 * swell * sum(np.sin(k * phase) / k**tilt for k in range(1, 12))
        at += length + rng.uniform(0.05, 0.5)
    return out


def write(path: Path, audio: np.ndarray, rate: int = RATE) -> Path:
    sf.write(path, audio, rate, subtype="FLOAT")
    return path


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write(tmp_path / "original.wav", speech())


def test_a_copy_is_perfect(original: Path) -> None:
    found = against.compare(original, original)
    assert set(found) >= KEYS and set(found["chance"]) == CHANCE
    assert found["mel_r"] == found["mel_r_speech"] == pytest.approx(1)
    assert found["stoi"] == pytest.approx(1, abs=1e-6)
    assert found["estoi"] == pytest.approx(1, abs=1e-6)
    assert found["mcd_db"] == found["mcd_dtw_db"] == found["voicing_error"] == 0
    assert found["log_f0_r"] == pytest.approx(1)
    assert found["chance"]["mel_r_p"] == 1 / (1 + found["chance"]["shifts"])
    assert 0.3 < found["oracle_mel_r"] < 1 and found["notes"] == []


def test_other_speech_is_chance(original: Path, tmp_path: Path) -> None:
    found = against.compare(original, write(tmp_path / "other.wav", speech(seed=3)))
    assert abs(found["mel_r"]) < 0.3 and found["chance"]["mel_r_p"] > 0.05
    assert found["stoi"] < 0.7 and found["mcd_db"] > found["mcd_dtw_db"] > 3


def test_what_is_right_about_silence_alone_shows(tmp_path: Path) -> None:
    """Two noises with the same bursts: right about on and off, and about nothing else."""
    rng = np.random.default_rng(0)
    gate = np.repeat(rng.random(24) > 0.5, RATE // 2)
    pair = []
    for name in ("one", "other"):
        noise = (0.1 * gate + 1e-4) * rng.standard_normal(len(gate))
        pair.append(write(tmp_path / f"{name}.wav", noise))
    found = against.compare(*pair)
    assert found["mel_r"] > 0.8
    # Frames at the edges of bursts are between on and off, and keep some.
    assert found["mel_r_speech"] < 0.6 * found["mel_r"]
    assert found["mel_r"] < found["oracle_mel_r"] + 0.05


def test_mels_have_the_values_of_the_hop_grid() -> None:
    """Where a frame of one grid lies within half a sample of one of the other."""
    audio = speech(14)
    ours, hops = against.waveglow_mels(audio), log_mel(audio.astype(np.float32))
    pairs = [(round((k + 0.5) * 0.015 * RATE / 256), k) for k in range(len(hops))]
    met = [(i, k) for i, k in pairs if abs(256 * i - (k + 0.5) * 0.015 * RATE) < 1]
    assert len(met) > 3
    # Half a sample apart: of a window of 1024.
    difference = [np.abs(ours[i] - hops[k]).mean() for i, k in met]
    assert max(difference) < 0.05


def test_speech_frames_are_within_20_db(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)
    gain = np.repeat([1.0, 10 ** (-15 / 20), 10 ** (-25 / 20), 1e-4], RATE)
    level = against.frame_levels_db(gain * tone)
    loud = against.loud_frames(level)
    inner = [loud[int((i + 0.1) * RATE / 256) : int((i + 0.9) * RATE / 256)] for i in range(4)]
    assert [bool(x.all()) for x in inner] == [True, True, False, False]
    assert not inner[2].any() and not inner[3].any()


def test_another_rate_and_stereo_are_treated_and_told(original: Path, tmp_path: Path) -> None:
    soxr = pytest.importorskip("soxr")
    high = soxr.resample(speech(), RATE, 48_000)
    path = write(tmp_path / "high.wav", np.stack([high, high], axis=1), 48_000)
    found = against.compare(original, path)
    # Anti-aliasing filters differ near 11 kHz, above the bands; and the noise floor is quiet.
    assert found["mel_r"] > 0.99 and found["mcd_db"] < 0.5
    assert any("resampled from 48000" in note for note in found["notes"])
    assert any("2 channels averaged" in note for note in found["notes"])


def test_another_length_is_cut_and_told_or_refused(original: Path, tmp_path: Path) -> None:
    longer = np.concatenate([speech(), np.zeros(RATE // 5)])
    found = against.compare(original, write(tmp_path / "longer.wav", longer))
    assert found["mel_r"] == pytest.approx(1) and found["seconds"] == pytest.approx(14)
    assert any("cut at its end" in note for note in found["notes"])
    half = write(tmp_path / "half.wav", speech()[: 7 * RATE])
    with pytest.raises(RecordingError, match=r"14\.00 s, the reconstruction 7\.00 s.*10%"):
        against.compare(original, half)


def test_no_chance_level_for_short_audio(tmp_path: Path) -> None:
    short = write(tmp_path / "short.wav", speech(6))
    found = against.compare(short, short)
    assert set(found["chance"].values()) == {None} and set(found["chance"]) == CHANCE
    assert any("no chance level" in note for note in found["notes"])


def broken(kind: str) -> np.ndarray | None:
    x = speech()
    if kind == "NaN":
        x[5000] = np.nan
    return {
        "silent": np.zeros(len(x)),
        "NaN": x,
        "lasts": x[:1000],
        "0.00 s": x[:0],
    }.get(kind)


@pytest.mark.parametrize("kind", ["silent", "NaN", "lasts", "0.00 s"])
@pytest.mark.parametrize("first", [True, False])
def test_useless_audio_is_refused(original: Path, tmp_path: Path, kind: str, first: bool) -> None:
    bad = write(tmp_path / "bad.wav", broken(kind))
    pair = (bad, original) if first else (original, bad)
    with pytest.raises(RecordingError, match=rf"bad\.wav.*{kind}"):
        against.compare(*pair)


def test_what_is_no_audio_is_refused(original: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("not audio")
    with pytest.raises(RecordingError, match=r"text\.wav.*expected an audio file"):
        against.compare(original, text)
    with pytest.raises(RecordingError, match="does not exist"):
        against.compare(original, tmp_path / "none.wav")
    with pytest.raises(RecordingError, match="does not exist"):
        against.compare(original, tmp_path)
