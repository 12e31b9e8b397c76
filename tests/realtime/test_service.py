"""The live service against a real LSL outlet in another process, playing into a WAV file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from math import ceil
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from models.bundle import load_bundle
from models.errors import BusyOutputError, MontageError, StreamError
from realtime.latency import summarise
from realtime.pipeline import Pipeline
from realtime.runlog import RunLog, read_run
from realtime.service import Service
from realtime.settings import LiveSettings
from tests.bundles import TINY_CONTACTS, noise_uv
from tests.lsl_outlets import Outlet
from tools.amplifier import save_array, spawn_amplifier

pytestmark = pytest.mark.lsl
SECONDS = 6.0


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "amp.npy"
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    labels = [TINY_CONTACTS[i] for i in order]
    save_array(path, noise_uv(SECONDS + 6)[:, order], load_rate(), labels)
    return path


def load_rate():
    from fractions import Fraction

    return Fraction(1024)


def settings(bundle: Path, tmp_path: Path, source_id: str, **more: object) -> LiveSettings:
    return LiveSettings.model_validate(
        {
            "bundle": bundle,
            "out": tmp_path / "run",
            "seconds": SECONDS,
            "stream": {"source_id": source_id, "timeout_s": 10},
            "playout": {"sink": "wav", "wav": tmp_path / "played.wav", "target_ms": 80},
            **more,
        }
    )


@pytest.mark.parametrize("burst", [1, 32])
def test_live_gives_what_offline_gives(
    tiny_bundle: Path, tmp_path: Path, source: Path, burst: int
) -> None:
    source_id = uuid4().hex
    service = Service(settings(tiny_bundle, tmp_path, source_id))
    with spawn_amplifier(source, "--source-id", source_id, "--burst", str(burst), "--wait"):
        facts = service.run()
    run = read_run(tmp_path / "run")
    assert facts["hops"] == len(run.hops) == int(SECONDS / 0.015)
    # The montage was shuffled at the amplifier; by name it is the same, bit for bit.
    pipeline = Pipeline.from_bundle(load_bundle(tiny_bundle))
    offline = np.array([hop.mel for hop in pipeline.hops(noise_uv(SECONDS + 6))])
    np.testing.assert_array_equal(run.mel, offline[: len(run.mel)])
    states = [event["event"] for event in run.events]
    assert states == ["warming", "decoding", "stopped"]
    stages = summarise(run.hops, run.dac)
    assert set(stages) >= {"transport", "hop_compute", "playout", "end_to_end"}
    assert stages["transport"]["p50_ms"] > 0
    assert "environment" in run.about


def test_what_is_played_starts_muted_and_is_what_was_decoded(
    tiny_bundle: Path, tmp_path: Path, source: Path
) -> None:
    source_id = uuid4().hex
    with spawn_amplifier(source, "--source-id", source_id, "--wait"):
        Service(settings(tiny_bundle, tmp_path, source_id)).run()
    with wave.open(str(tmp_path / "played.wav")) as file:
        rate, raw = file.getframerate(), file.readframes(file.getnframes())
    played = np.frombuffer(raw, "<i2") / 32768.0
    run = read_run(tmp_path / "run")
    assert run.audio.std() > 1e-3
    loud = np.flatnonzero(np.abs(played) > 1e-3)
    # Nothing is heard during the first second of the run, which playout's delay only prolongs.
    assert loud[0] > 1.0 * rate
    # Below 3 kHz, where the resampler passes everything; over 50 ms, in which 1000 ppm of drift
    # control move the time axis by less than a sample.
    lowpass = butter(6, 3000, fs=rate, output="sos")
    played = sosfiltfilt(lowpass, played)
    audio = sosfiltfilt(lowpass, run.audio.astype(np.float64))
    part = audio[4 * rate : 4 * rate + rate // 20]
    dot = np.correlate(played, part, "valid")
    energy = np.convolve(played**2, np.ones(len(part)), "valid")
    assert np.max(dot / np.sqrt(energy * np.sum(part**2) + 1e-9)) > 0.9


def test_sigterm_ends_a_run_as_if_its_time_were_over(
    tiny_bundle: Path, tmp_path: Path, source: Path
) -> None:
    source_id = uuid4().hex
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tools.cli", "live", str(tiny_bundle), "--out", str(out)]
    command += ["--source-id", source_id, "--timeout", "20", "--wav", str(tmp_path / "p.wav")]
    with spawn_amplifier(source, "--source-id", source_id, "--loop"):
        live = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert live.stdout is not None
        for line in live.stdout:
            if line.startswith("decoding"):
                break
        time.sleep(0.5)
        live.send_signal(signal.SIGTERM)
        said = live.stdout.read()
        assert live.wait(20) == 0
    assert "end_to_end" in said
    about = json.loads((out / "run.json").read_text())
    assert about["hops"] == len(read_run(out).hops) > 60
    assert (tmp_path / "p.wav").stat().st_size > 1000


def test_a_stream_that_goes_away_leaves_the_run_readable(
    tiny_bundle: Path, tmp_path: Path, source: Path
) -> None:
    source_id = uuid4().hex
    chosen = settings(tiny_bundle, tmp_path, source_id, seconds=None)
    options = ["--source-id", source_id, "--stop-s", "2", "--wait"]
    with (
        spawn_amplifier(source, *options),
        pytest.raises(StreamError, match="went away"),
    ):
        Service(chosen).run()
    run = read_run(tmp_path / "run")
    assert len(run.hops) >= 130
    assert run.events[-1]["event"] == "stopped"


def test_nothing_is_written_if_it_cannot_start(
    tiny_bundle: Path, tmp_path: Path, source: Path
) -> None:
    with pytest.raises(StreamError, match="source_id"):
        nowhere = {"source_id": uuid4().hex, "timeout_s": 0.5}
        Service(settings(tiny_bundle, tmp_path, "", stream=nowhere)).run()
    source_id = uuid4().hex
    wrong = tmp_path / "wrong.npy"
    save_array(wrong, noise_uv(5)[:, :7], load_rate(), [*TINY_CONTACTS[:6], "X1"])
    with (
        spawn_amplifier(wrong, "--source-id", source_id),
        pytest.raises(MontageError, match=r"2 of 8 contacts are missing: RB3, RB4.*extra.*X1"),
    ):
        Service(settings(tiny_bundle, tmp_path, source_id)).run()
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "played.wav").exists()


def test_a_stream_that_sends_nothing_leaves_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    silent = Outlet(TINY_CONTACTS)
    chosen = {"source_id": silent.source_id, "timeout_s": 1.0}
    with pytest.raises(StreamError, match="sent nothing for 1 s"):
        Service(settings(tiny_bundle, tmp_path, "", stream=chosen)).run()
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_does_not_stop_the_run(
    tiny_bundle: Path, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RunLog, files: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunLog, "_drain", full)
    source_id, said = uuid4().hex, []
    service = Service(settings(tiny_bundle, tmp_path, source_id, seconds=4.0), said.append)
    with spawn_amplifier(source, "--source-id", source_id, "--wait"):
        facts = service.run()
    assert facts["hops"] == ceil(4.0 / 0.015)
    assert any("no longer written" in line and "No space left" in line for line in said)


def test_a_lost_sound_device_is_retried(tiny_bundle: Path, tmp_path: Path, source: Path) -> None:
    source_id, said = uuid4().hex, []
    play = {"sink": "null", "target_ms": 80}
    service = Service(settings(tiny_bundle, tmp_path, source_id, playout=play), said.append)

    def kill_player() -> None:
        while service.state != "decoding":
            time.sleep(0.05)
        # Only the player of this very service: its own child.
        assert service.playout is not None
        assert service.playout.pid is not None
        os.kill(service.playout.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_player)
    killer.start()
    with spawn_amplifier(source, "--source-id", source_id, "--wait"):
        facts = service.run()
    killer.join()
    assert facts["hops"] == int(SECONDS / 0.015)
    assert facts["sound_losses"] == 1
    events = [event["event"] for event in read_run(tmp_path / "run").events]
    assert events == ["warming", "decoding", "sound lost", "sound back", "stopped"]


def test_a_busy_folder_is_refused_first(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("kept")
    with pytest.raises(BusyOutputError, match="exists already"):
        Service(settings(tiny_bundle, tmp_path, "any")).run()
    assert (tmp_path / "run" / "old").read_text() == "kept"
