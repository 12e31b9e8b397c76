"""`seegvox vocode` as its user types it."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.mel import VOCODER_HOP
from tests.training.test_copy_synthesis import babble, two_voices
from tools.cli import main

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("pystoi")
pytest.importorskip("torch")

__all__ = ["two_voices"]


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "speech.wav", babble(3.0), 16_000)
    return tmp_path / "speech.wav"


@pytest.fixture(scope="module")
def small_waveglow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.training.vocoders.checkpoints import SMALL, random_weights
    from training.vocoders.waveglow_file import WaveGlowFile, write_waveglow

    path = tmp_path_factory.mktemp("waveglow") / "small.pt"
    write_waveglow(WaveGlowFile(SMALL, random_weights(SMALL)), path)
    return path


def run(*words: object) -> int:
    return main(["vocode", *map(str, words)])


def frames_of(path: Path) -> tuple[int, int]:
    with wave.open(str(path)) as file:
        return file.getnframes(), file.getframerate()


def test_copy_synthesis_is_written_and_scored(speech: Path, tmp_path: Path, capsys: Any) -> None:
    out, scores, mel = tmp_path / "copy.wav", tmp_path / "s.json", tmp_path / "m.npz"
    assert run(speech, "--out", out, "--json", scores, "--save-mel", mel) == 0
    assert frames_of(out) == (200 * VOCODER_HOP, 16_000)
    found = json.loads(scores.read_text())
    # Aligned: a hop too late costs more than a third of this.
    assert found["stoi"] > 0.8
    assert 0 < found["mel_error"] < 1
    assert found["lsd_db"] > 0
    said = capsys.readouterr().out
    assert "phase, look-ahead 7.5 ms: 200 hops, 3.00 s" in said
    assert "STOI" in said
    # From the kept frames the same sound.
    again = tmp_path / "again.wav"
    assert run(mel, "--out", again) == 0
    assert again.read_bytes() == out.read_bytes()
    assert "no original to compare with" in capsys.readouterr().out


def test_nothing_is_overwritten_unasked(speech: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "copy.wav"
    out.write_text("mine")
    assert run(speech, "--out", out) == 2
    assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert run(speech, "--out", out, "--overwrite") == 0


def test_waveglow_renders_with_a_bar(
    speech: Path, small_waveglow: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "copy.wav"
    words = [speech, "--with", "waveglow", "--waveglow", small_waveglow, "--piece-s", "1"]
    assert run(*words, "--out", out) == 0
    assert frames_of(out) == (66150, 22_050)
    printed = capsys.readouterr()
    assert "waveglow: 100%" in printed.err
    assert "waveglow, offline: 200 hops" in printed.out
    assert run(*words, "--out", tmp_path / "same.wav", "--seed", "0") == 0
    assert (tmp_path / "same.wav").read_bytes() == out.read_bytes()
    assert run(*words, "--out", tmp_path / "other.wav", "--seed", "1") == 0
    assert (tmp_path / "other.wav").read_bytes() != out.read_bytes()


def test_a_session_is_rendered(tmp_path: Path, capsys: Any) -> None:
    from tests.tools.test_session import make_session

    folder = make_session(tmp_path / "monday", hops=80)
    assert run(folder, "--out", tmp_path / "session.wav") == 0
    assert "scores are against the mel frames alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--with", "wavenet"], "there is no vocoder 'wavenet'; expected one of phase, rtisi"),
        (["--with", "waveglow"], "waveglow without a checkpoint"),
        (["--with", "neural"], "neural without a vocoder"),
        (["--with", "waveglow", "--waveglow", "speech.wav"], "more than tensors, or damaged"),
        (["--with", "neural", "--neural", "."], "is no neural vocoder"),
        (["--sigma", "-1"], "'sigma' is -1"),
    ],
)
def test_what_is_wrong_is_named(
    speech: Path, words: list[str], said: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(speech.parent)
    assert run(speech, *words, "--out", "o.wav") == 2
    assert said in capsys.readouterr().err
    assert not Path("o.wav").exists()


def test_the_table_has_every_vocoder_and_voice(
    two_voices: Path, small_waveglow: Path, tmp_path: Path, capsys: Any
) -> None:
    scores = tmp_path / "table.json"
    words = [two_voices, "--table", "--waveglow", small_waveglow, "--json", scores]
    assert run(*words) == 0
    rows = json.loads(scores.read_text())
    # phase, rtisi, waveglow and Griffin-Lim, two voices, clean and smoothed.
    assert len(rows) == 4 * 2 * 2
    ahead = {row["vocoder"]: row["lookahead_ms"] for row in rows}
    assert (ahead["phase"], ahead["rtisi"], ahead["waveglow"]) == (7.5, 22.5, None)
    assert all(row["ms_per_hop"] > 0 for row in rows)
    clean = {r["vocoder"]: r["stoi"] for r in rows if r["mel"] == "clean" and r["voice"] == "anna"}
    # Weights that were never trained must look like it.
    assert clean["waveglow"] < clean["phase"] - 0.2
    assert capsys.readouterr().out.count("rtisi") == 4


def test_a_table_of_nothing(tmp_path: Path, capsys: Any) -> None:
    assert run(tmp_path, "--table") == 2
    assert "one folder of recordings per voice" in capsys.readouterr().err


def test_frames_of_silence_give_silence(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "quiet.npy", np.full((60, 80), np.log(1e-5), np.float32))
    assert run(tmp_path / "quiet.npy", "--out", tmp_path / "quiet.wav") == 0
    sound, _ = soundfile.read(tmp_path / "quiet.wav")
    assert np.abs(sound).max() < 1e-4
