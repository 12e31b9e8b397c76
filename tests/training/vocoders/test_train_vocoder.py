"""Training of vocoders: the loss falls, it resumes, it leaves what runs, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from models.errors import BusyOutputError, RecordingError, SettingsError
from models.vocoder import load_vocoder
from realtime.vocoders import make_vocoder
from tests.training.test_copy_synthesis import babble
from tools.cli import main
from training.vocoders.begun import Begun
from training.vocoders.clips import divide, make_clips
from training.vocoders.corpora import read_corpus
from training.vocoders.fit import resume, train_vocoder
from training.vocoders.losses import SpectralLoss
from training.vocoders.phases import Reconstruction
from training.vocoders.settings import DegradeSettings, StageSettings, VocoderTraining
from training.vocoders.stretches import SpeechStretches, degraded, louder

TINY = {"size": 16, "hidden": 24, "layers": 1, "kernel": 3}
SMALL_FLOW = {"flows": 3, "early_every": 2, "layers": 2, "channels": 8}


def settings(steps: int = 12, **more: Any) -> VocoderTraining:
    stage = {
        "steps": steps,
        "batch": 3,
        "hops": 16,
        "learning_rate": 3e-3,
        "check_every": 4,
    }
    return VocoderTraining.model_validate(
        {
            "network": TINY,
            "waveglow": SMALL_FLOW,
            "segment": 2048,
            "reconstruction": stage,
            "log": {"tensorboard": False},
            "machine": {"accelerator": "cpu"},
            **more,
        }
    )


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    for i in range(5):
        soundfile.write(folder / f"{i}.wav", babble(1.5, i), 16_000)
    soundfile.write(folder / "narrow.wav", babble(2.0)[::2], 8_000)
    soundfile.write(folder / "silent.wav", np.zeros(32_000), 16_000)
    return folder


def train(folder: Path, *speech: Path, **more: Any) -> dict[str, Any]:
    return train_vocoder(Begun(speech, settings(**more)), folder, progress=False)


@pytest.fixture(scope="module")
def trained(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "voice"
    train(folder, speech)
    return folder


def losses(folder: Path, stage: str) -> list[float]:
    (file,) = (folder / "training" / "logs" / stage).glob("run_*/metrics.csv")
    header, *rows = [line.split(",") for line in file.read_text().splitlines()]
    at = header.index("validation/loss")
    return [float(row[at]) for row in rows if row[at]]


def test_it_leaves_a_vocoder_that_runs(trained: Path) -> None:
    folder = load_vocoder(trained / "vocoder")
    assert folder.spec.proof["torch_vs_onnx_max"] <= folder.spec.proof["tolerance"]
    about = json.loads((trained / "training.json").read_text())
    assert about["stages"]["reconstruction"]["steps"] == 12
    assert sorted(name.split(":")[0] for name in about["skipped_files"]) == [
        "narrow.wav",
        "silent.wav",
    ]
    assert "unknown" in folder.spec.provenance["corpora"][0]["licence"]
    assert make_vocoder(str(folder.path)).step(np.full((4, 80), -4.0, np.float32)).shape == (960,)
    assert not trained.with_name("voice.training").exists()


def test_the_held_out_loss_falls(trained: Path) -> None:
    found = losses(trained, "reconstruction")
    assert len(found) == 3
    assert found[-1] < found[0]


def test_interrupted_and_resumed_it_is_the_same(
    speech: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Reconstruction.on_train_batch_start

    def stop(self: Reconstruction, *args: Any) -> None:
        if self.step == 6:
            raise InterruptedError
        original(self, *args)

    monkeypatch.setattr(Reconstruction, "on_train_batch_start", stop)
    with pytest.raises(InterruptedError):
        train(tmp_path / "voice", speech)
    assert not (tmp_path / "voice").exists()
    with pytest.raises(BusyOutputError, match="train-vocoder --resume"):
        train(tmp_path / "voice", speech)
    monkeypatch.undo()
    resume(tmp_path / "voice", progress=False)
    wanted = torch.load(trained / "weights.pt", weights_only=True)
    for name, tensor in torch.load(tmp_path / "voice" / "weights.pt", weights_only=True).items():
        assert torch.equal(tensor, wanted[name]), name
    with pytest.raises(SettingsError, match="there is no interrupted training"):
        resume(tmp_path / "voice")


def test_adversarial_and_from_another(speech: Path, trained: Path, tmp_path: Path) -> None:
    stage = {"steps": 2, "batch": 1, "hops": 16, "check_every": 2, "learning_rate": 1e-3}
    begun = Begun((speech,), settings(0, adversarial=stage), start=trained)
    found = train_vocoder(begun, tmp_path / "mine", progress=False)
    assert found["stages"]["adversarial"]["steps"] == 2
    assert found["stages"]["adversarial"]["weights"] == "last"
    before, after = (
        torch.load(folder / "weights.pt", weights_only=True)
        for folder in (trained, tmp_path / "mine")
    )
    moved = {name: float((after[name] - t).abs().max()) for name, t in before.items()}
    # Two steps of a rate of 1e-3 lead no further, and they lead away.
    assert 0 < max(moved.values()) < 0.01


def test_other_shapes_are_refused(speech: Path, trained: Path, tmp_path: Path) -> None:
    other = settings(2, network={**TINY, "size": 24})
    with pytest.raises(SettingsError, match="a vocoder of the same shapes"):
        train_vocoder(Begun((speech,), other, start=trained), tmp_path / "x", progress=False)
    with pytest.raises(SettingsError, match="is no trained vocoder"):
        train_vocoder(Begun((speech,), other, start=tmp_path), tmp_path / "y", progress=False)


def test_a_waveglow_is_trained_and_stays_invertible(speech: Path, tmp_path: Path) -> None:
    from training.vocoders.waveglow_file import load_waveglow

    train(tmp_path / "flow", speech, steps=12, kind="waveglow")
    found = losses(tmp_path / "flow", "flow")
    assert found[-1] < found[0] - 0.02
    flow = load_waveglow(tmp_path / "flow" / "waveglow.pt").double()
    audio = 0.1 * torch.randn(1, 1024, dtype=torch.float64)
    mel = torch.full((1, 80, 4), -4.0, dtype=torch.float64)
    back = flow.inverse(mel, flow(mel, audio).z)
    torch.testing.assert_close(back, audio, rtol=0, atol=1e-9)


def test_the_verb_trains_and_says_what_is_next(speech: Path, tmp_path: Path, capsys: Any) -> None:
    toml = tmp_path / "t.toml"
    toml.write_text(
        "[network]\nsize = 16\nhidden = 16\nlayers = 1\n[log]\ntensorboard = false\n"
        "[reconstruction]\nsteps = 2\nbatch = 1\nhops = 16\ncheck_every = 2\n"
    )
    words = ["train-vocoder", str(speech), "--out", str(tmp_path / "v"), "--settings", str(toml)]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "narrow.wav" in said.err
    assert "reconstruction: 2 steps" in said.out
    assert (
        f"next: seegvox vocode SPEECH.wav --with neural --neural {tmp_path}/v/vocoder" in said.out
    )
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["train-vocoder", "--resume", str(tmp_path / "v"), "--seed", "3"]) == 2
    assert "--resume together with other settings" in capsys.readouterr().err
    assert main(["train-vocoder", "--out", str(tmp_path / "w")]) == 2
    assert "no speech was given" in capsys.readouterr().err


# ---- speech


def test_corpora_are_known_by_their_layout(tmp_path: Path) -> None:
    layouts = {
        "LibriTTS": "train-clean-100/19/198/19_198_000000_000000.wav",
        "MLS": "train/audio/100/200/100_200_000001.flac",
        "CML-TTS": "train/audio/100/200/100_200_000001.wav",
        "VCTK": "wav48_silence_trimmed/p225/p225_001_mic1.flac",
        "LJSpeech": "wavs/LJ001-0001.wav",
    }
    voices = {}
    for name, file in layouts.items():
        path = tmp_path / f"folder-{name}" / file
        path.parent.mkdir(parents=True)
        path.touch()
        corpus = read_corpus(tmp_path / f"folder-{name}")
        assert (corpus.name, corpus.files) == (name, (path,))
        assert corpus.licence == ("public domain" if name == "LJSpeech" else "CC BY 4.0")
        voices[name] = corpus.voice(path)
    assert voices == {
        "LibriTTS": "19",
        "MLS": "100",
        "CML-TTS": "100",
        "VCTK": "p225",
        "LJSpeech": "LJ",
    }
    (tmp_path / "own").mkdir()
    with pytest.raises(RecordingError, match="there is no sound"):
        read_corpus(tmp_path / "own")


def test_clips_hold_the_sound_and_its_frames(speech: Path, tmp_path: Path) -> None:
    from training.vocoders.sources import read_speech

    files = [(path, "v") for path in sorted(speech.glob("*.wav"))]
    clips = make_clips(files, tmp_path / "clips")
    assert [clip.name for clip in clips.clips] == [f"{i}.wav" for i in range(5)]
    source, clip = read_speech(files[3][0]), clips.clips[3]
    assert source.audio is not None
    np.testing.assert_allclose(
        clips.sound(clip.first, clip.hops), source.audio, rtol=0, atol=1.01 / 65534
    )
    np.testing.assert_array_equal(clips.mel[clip.first : clip.first + clip.hops], source.mel)
    training, held = divide(clips.clips, 0.2)
    assert len(training) == 4
    assert len(held) == 1
    with pytest.raises(RecordingError, match="none of 1 files"):
        make_clips([(speech / "silent.wav", "v")], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_long_file_is_cut_so_that_some_is_held_out(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.tile(babble(8.0), 5), 16_000)
    clips = make_clips([(tmp_path / "long.wav", "v")], tmp_path / "clips").clips
    assert [clip.name for clip in clips] == ["long.wav#0", "long.wav#1"]
    assert clips[0].first + clips[0].hops == clips[1].first
    assert sum(clip.hops for clip in clips) == 2666


def test_batches_follow_from_seed_and_number(speech: Path, tmp_path: Path) -> None:
    clips = make_clips([(p, "v") for p in sorted(speech.glob("*.wav"))], tmp_path / "clips")
    stage = StageSettings(steps=5, batch=2, hops=16, check_every=2)

    def stretches(first: int = 0) -> SpeechStretches:
        return SpeechStretches(clips, clips.clips, stage, DegradeSettings(), 7, first)

    first, later = stretches(), stretches(3)
    numbered = [batch for _ in range(3) for batch in first]
    assert len(numbered) == 5
    for got, wanted in zip(next(iter(later)), numbered[3], strict=True):
        assert torch.equal(got, wanted)
    mel, start, sound = numbered[0]
    assert (mel.shape, start.shape, sound.shape) == ((2, 29, 80), (2, 29, 2, 361), (2, 6960))
    assert not torch.equal(numbered[0][0], numbered[1][0])


def test_degraded_frames_are_smoother_or_noisier_and_stay_in_scale() -> None:
    rng = np.random.default_rng(0)
    mel = rng.uniform(-11, 1, (100, 80)).astype(np.float32)
    how = DegradeSettings(share=1.0, noise=0.0)
    rough = [
        float(np.abs(np.diff(degraded(mel, how, np.random.default_rng(i)), axis=0)).mean())
        for i in range(20)
    ]
    assert min(rough) < 0.3 * max(rough)
    noisy = degraded(mel, DegradeSettings(share=1.0, smooth=1, noise=3.0), rng)
    assert noisy.min() >= np.log(1e-5) - 1e-6
    assert np.abs(noisy - mel).mean() > 0.1
    np.testing.assert_array_equal(degraded(mel, DegradeSettings(share=0.0), rng), mel)


def test_louder_frames_are_those_of_the_louder_sound() -> None:
    from models.mel import log_mel

    sound = np.random.default_rng(0).normal(0, 0.05, 22_050)
    mel = log_mel(sound)
    moved, scaled = louder(mel, sound.astype(np.float32), 0.5)
    np.testing.assert_allclose(moved, log_mel(scaled), atol=1e-4)


def test_the_loss_is_nothing_for_the_same_sound_and_blind_to_its_sign() -> None:
    loss, sound = SpectralLoss(), torch.randn(2, 4096)
    assert all(float(part) == 0 for part in loss(sound, sound).values())
    assert all(float(part) < 1e-5 for part in loss(-sound, sound).values())
    near, far = loss(sound * 1.1, sound), loss(sound * 3, sound)
    assert all(0 < float(near[k]) < float(far[k]) for k in near)


def test_decoded_mels_of_folds(tmp_path: Path, capsys: Any) -> None:
    from training.vocoders.decoded import read_decoded

    with pytest.raises(RecordingError, match="holds no decoded folds"):
        read_decoded(tmp_path)
    mel, sound = np.zeros((50, 80), np.float32), np.zeros(50 * 240, np.float32)
    np.savez(tmp_path / "fold-0.npz", mel=mel, true_mel=mel, sound=sound)
    (one,) = read_decoded(tmp_path)
    assert (one.mel.shape, one.sound.shape) == ((50, 80), (12000,))
    np.savez(tmp_path / "fold-1.npz", mel=mel, true_mel=mel, sound=sound[1:])
    with pytest.raises(RecordingError, match="240 samples for each"):
        read_decoded(tmp_path)


def test_a_patients_voice_and_decoded_mels(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way of a patient: decode by folds, then train on the own voice with that."""
    from tests.training.recordings import tiny_recording
    from training.vocoders import decoded

    recording = tiny_recording(tmp_path, minutes=0.6)
    stage = "steps = 2\nbatch = 2\nstretch_hops = 60\nwarm_hops = 15\nlearning_rate = 1e-3\n"
    toml = tmp_path / "e.toml"
    toml.write_text(
        "[network]\nconv_channels = [8, 8, 8]\nencoder_layers = 1\nencoder_size = 8\n"
        "prenet_size = 8\ndecoder_size = 8\npostnet_channels = 8\npostnet_layers = 2\n"
        f"[optimiser.encoder]\n{stage}[optimiser.network]\n{stage}"
    )
    # One fold of two: each costs an export.
    every = decoded.make_folds
    monkeypatch.setattr(decoded, "make_folds", lambda *given: every(*given)[:1])
    words = ["train-vocoder", "--decode", recording, "--out", tmp_path / "decoded"]
    words += ["--folds", "2", "--experiment", toml]
    assert main([str(word) for word in words]) == 0
    assert "hops decoded by networks that never saw them" in capsys.readouterr().out
    folds = decoded.read_decoded(tmp_path / "decoded")
    assert len(folds) == 1
    assert all(np.isfinite(fold.mel).all() and fold.sound.any() for fold in folds)
    begun = Begun((), settings(2, decoded_share=1.0), (tmp_path / "decoded",), patient=recording)
    found = train_vocoder(begun, tmp_path / "mine", progress=False)
    assert found["corpora"] == [
        {"name": "patient", "licence": "the patient's own", "files": 1, "voices": 1}
    ]
    # Of 36 s, without the last trials.
    assert 0.3 < found["minutes"] < 0.57
