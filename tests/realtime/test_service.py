"""The live service against a real LSL outlet in another process, playing into a WAV file."""

from __future__ import annotations

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
from models.errors import BusyOutputError, MontageError, RecordingError, StreamError
from realtime.latency import summarise
from realtime.pipeline import Pipeline
from realtime.record.reading import Run, read_run
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


def kinds(run: Run) -> list[str]:
    return [event["event"] for event in run.events]


def within(run: Run, wanted: list[str]) -> bool:
    """Whether these events came in this order, whatever came between."""
    told = iter(kinds(run))
    return all(kind in told for kind in wanted)


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
    told = kinds(run)
    assert (told[0], told[-1]) == ("warming", "stopped")
    assert "decoding" in told
    # A busy machine may be late; nothing else may have happened.
    assert not {"lost", "gap", "cold start", "clock jump", "bridged"} & set(told)
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
    about = read_run(out).about
    assert about["hops"] == len(read_run(out).hops) > 60
    assert (tmp_path / "p.wav").stat().st_size > 1000


def test_a_stream_that_stays_away_for_too_long_ends_the_run_readable(
    tiny_bundle: Path, tmp_path: Path, source: Path
) -> None:
    source_id = uuid4().hex
    stream = {"source_id": source_id, "timeout_s": 10, "give_up_s": 1.0}
    chosen = settings(tiny_bundle, tmp_path, source_id, seconds=None, stream=stream)
    options = ["--source-id", source_id, "--stop-s", "2", "--wait"]
    with (
        spawn_amplifier(source, *options),
        pytest.raises(StreamError, match=r"went away.*give_up_s"),
    ):
        Service(chosen).run()
    run = read_run(tmp_path / "run")
    assert len(run.hops) >= 130
    assert within(run, ["warming", "muted", "lost", "waiting", "stopped"])


def injected(tmp_path: Path, faults: str) -> list[str]:
    (tmp_path / "faults.toml").write_text(faults)
    return ["--inject", str(tmp_path / "faults.toml"), "--wait"]


def times_are_true(run: Run) -> None:
    """A hop's index tells its time: to within a burst, over every hole."""
    away = np.diff(run.hops["lsl_time"]) - 0.015 * np.diff(run.hops["index"])
    # A sample of rounding, and for another stream the arrival of a burst of 16.
    assert np.abs(away).max() < 0.035


def test_short_gaps_are_bridged_and_long_ones_start_cold(
    tiny_bundle: Path, tmp_path: Path, source: Path
) -> None:
    source_id = uuid4().hex
    gap = '[[faults]]\nkind = "gap"\nat_s = {}\nms = {}\n'
    options = injected(tmp_path, gap.format(3.0, 49.0) + gap.format(4.0, 500.0))
    with spawn_amplifier(source, "--source-id", source_id, *options):
        facts = Service(settings(tiny_bundle, tmp_path, source_id)).run()
    run = read_run(tmp_path / "run")
    assert facts["bridged_samples"] == run.hops["bridged"].sum() == 50
    assert facts["lost_samples"] == 50 + 512
    assert facts["cold_starts"] == 1
    assert within(run, ["decoding", "bridged", "gap", "cold start", "decoding"])
    assert within(run, ["bridged", "warming", "decoding"])
    # 500 ms are 33 hops, of which those begun before and after are gone too.
    assert np.diff(run.hops["index"]).max() == pytest.approx(34, abs=1)
    times_are_true(run)


@pytest.mark.parametrize("another_id", [False, True])
def test_a_stream_that_returns_is_decoded_again(
    tiny_bundle: Path, tmp_path: Path, source: Path, another_id: bool
) -> None:
    source_id, name = uuid4().hex, f"amp-{uuid4().hex}"
    loss = '[[faults]]\nkind = "loss"\nat_s = 3.0\nseconds = 1.5\nreverse = true\n'
    options = injected(tmp_path, loss + (f'source_id = "{source_id}x"\n' if another_id else ""))
    stream = {"name": name, "timeout_s": 10}
    with spawn_amplifier(source, "--source-id", source_id, "--name", name, *options):
        facts = Service(settings(tiny_bundle, tmp_path, source_id, stream=stream)).run()
    run = read_run(tmp_path / "run")
    assert facts["stream_returns"] == 1
    assert within(run, ["decoding", "lost", "waiting", "connected", "warming", "decoding"])
    times_are_true(run)
    # Its channels came in another order: what is decoded is the same contacts, by name.
    after = run.hops["index"] > run.hops["index"][np.argmax(np.diff(run.hops["index"]))]
    pipeline = Pipeline.from_bundle(load_bundle(tiny_bundle))
    pipeline.restart(int(run.hops["index"][after][0]))
    # Counted by arrival, the grid may be off by a few samples; the samples themselves are told.
    stamps = run.timestamps
    first = run.hops["lsl_time"][after][0]
    end = int(np.searchsorted(stamps, first)) + 1
    size = int(run.hops["last_sample"][after][0] - run.hops["first_sample"][after][0]) + 1
    offline = [hop.mel.copy() for hop in pipeline.hops(run.samples[end - size :])]
    np.testing.assert_array_equal(run.mel[after], np.array(offline)[: after.sum()])


def test_another_montage_on_return_stays_silent_and_says_why(
    tiny_bundle: Path, tmp_path: Path, source: Path
) -> None:
    source_id = uuid4().hex
    loss = '[[faults]]\nkind = "loss"\nat_s = 2.5\nseconds = 0.5\nrename = {LA2 = "X2"}\n'
    options = injected(tmp_path, loss)
    with spawn_amplifier(source, "--source-id", source_id, *options):
        facts = Service(settings(tiny_bundle, tmp_path, source_id)).run()
    run = read_run(tmp_path / "run")
    assert facts["stream_returns"] == 0
    assert within(run, ["decoding", "lost", "waiting", "refused", "muted", "stopped"])
    refused = next(event for event in run.events if event["event"] == "refused")
    assert "1 of 8 contacts are missing: LA2; extra in the stream: X2" in refused["why"]
    assert run.hops["lsl_time"][-1] - run.hops["lsl_time"][0] < 2.6


def test_a_process_that_was_stopped_steps_through_what_it_missed(
    tiny_bundle: Path, tmp_path: Path, source: Path
) -> None:
    source_id, out = uuid4().hex, tmp_path / "run"
    command = [sys.executable, "-m", "tools.cli", "live", str(tiny_bundle), "--out", str(out)]
    command += ["--source-id", source_id, "--timeout", "20", "--wav", str(tmp_path / "p.wav")]
    with spawn_amplifier(source, "--source-id", source_id, "--wait"):
        live = subprocess.Popen([*command, "--seconds", "7"], stdout=subprocess.PIPE, text=True)
        assert live.stdout is not None
        assert any("decoding" in line for line in live.stdout)
        live.send_signal(signal.SIGSTOP)
        time.sleep(2.0)
        live.send_signal(signal.SIGCONT)
        live.stdout.read()
        assert live.wait(20) == 0
    run = read_run(out)
    assert run.hops["index"].tolist() == list(range(ceil(7.0 / 0.015)))
    assert run.about["dropped_hops"] == run.hops["dropped"].sum() >= 100
    assert run.about["late_hops"] == run.hops["late"].sum()
    pipeline = Pipeline.from_bundle(load_bundle(tiny_bundle))
    offline = np.array([hop.mel for hop in pipeline.hops(noise_uv(SECONDS + 6))])
    np.testing.assert_array_equal(run.mel, offline[: len(run.mel)])
    # The end is as it was before.
    assert not run.hops["dropped"][-33:].any()
    assert "cold start" not in kinds(run)


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
        spawn_amplifier(wrong, "--source-id", source_id, "--loop"),
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


def test_a_record_that_cannot_be_written_does_not_stop_the_run(
    tiny_bundle: Path, tmp_path: Path, source: Path
) -> None:
    source_id, said = uuid4().hex, []
    service = Service(settings(tiny_bundle, tmp_path, source_id, seconds=4.0), said.append)

    def kill_recorder() -> None:
        while service.state != "decoding":
            time.sleep(0.05)
        # Only the recorder of this very service: its own child.
        assert service.record is not None
        os.kill(service.record.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_recorder)
    killer.start()
    with spawn_amplifier(source, "--source-id", source_id, "--wait"):
        facts = service.run()
    killer.join()
    assert facts["hops"] == ceil(4.0 / 0.015)
    assert any("the recorder ended with status -9" in line for line in said)
    # What came before is there, a second at most excepted.
    assert 0 < len(read_run(tmp_path / "run").hops) < facts["hops"]


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
    run = read_run(tmp_path / "run")
    assert within(run, ["warming", "decoding", "sound lost", "sound back", "stopped"])


def test_a_busy_folder_is_refused_first(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("kept")
    with pytest.raises(BusyOutputError, match="exists already"):
        Service(settings(tiny_bundle, tmp_path, "any")).run()
    assert (tmp_path / "run" / "old").read_text() == "kept"


def test_a_recorder_that_does_not_start_leaves_nothing(
    tiny_bundle: Path, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound was open by then: its file is as empty as the run."""
    from realtime.record import record

    source_id, out = uuid4().hex, tmp_path / "out"
    out.mkdir()
    chosen = settings(tiny_bundle, out, source_id)
    monkeypatch.setattr(record, "_START_S", 0.0)
    with (
        spawn_amplifier(source, "--source-id", source_id, "--loop"),
        pytest.raises(RecordingError, match="cannot be recorded"),
    ):
        Service(chosen).run()
    assert list(out.iterdir()) == []
