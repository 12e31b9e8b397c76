import json
import signal
import threading
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import numpy as np
import pylsl
import pytest

from models.errors import BusyOutputError, RecordingError, SeegvoxError
from realtime.recordings import Recording, Trial
from tests.lsl_outlets import Outlet
from tools import streams
from tools.amplifier import due_bursts, load, main, play, save_array, spawn_amplifier
from training.nwb import write_recording

FS = Fraction(1024)


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    path = tmp_path / "ramp.npy"
    save_array(path, np.arange(2048.0).reshape(1024, 2).astype(np.float32), FS, ["LA1", "LA2"])
    return path


def test_bursts_are_due_with_their_last_sample_and_never_early() -> None:
    start = pylsl.local_clock()
    fs, got = Fraction(390625, 384), []
    for first, end, due in due_bursts(100, 32, fs, start, threading.Event()):
        assert pylsl.local_clock() >= due
        assert due == start + float((end - 1) / fs)
        got.append((first, end))
    assert got == [(0, 32), (32, 64), (64, 96), (96, 100)]


def test_stop_ends_a_wait_at_once() -> None:
    stop = threading.Event()
    stop.set()
    far = pylsl.local_clock() + 1000
    assert list(due_bursts(None, 16, FS, far, stop)) == []


def test_no_drift_over_a_day() -> None:
    # Begun two days ago: every burst is due at once, and says when it was due.
    begun, bursts = -2.0 * 24 * 3600, 24 * 3600
    rate = Fraction(390625, 384)
    dues = [due for *_, due in due_bursts(1000 * bursts, 1000, rate, begun, threading.Event())]
    assert len(dues) == bursts
    assert dues[-1] == begun + float((1000 * bursts - 1) / rate)


def test_load_says_what_is_wrong(ramp: Path, tmp_path: Path) -> None:
    source = load(ramp)
    assert source.seeg.shape == (1024, 2)
    assert (source.fs, source.labels) == (FS, ("LA1", "LA2"))
    with pytest.raises(BusyOutputError):
        save_array(ramp, source.seeg, FS, ["LA1", "LA2"])
    ramp.with_suffix(".json").write_text(json.dumps({"fs": 1024, "labels": ["LA1"]}))
    with pytest.raises(RecordingError, match="1 labels"):
        load(ramp)
    ramp.with_suffix(".json").unlink()
    with pytest.raises(RecordingError, match=r"ramp\.json"):
        load(ramp)


def test_load_reads_recordings(tmp_path: Path) -> None:
    seeg = np.random.default_rng(0).normal(0, 50, (8192, 2)).astype(np.float32)
    audio, trials = np.zeros(384000, np.float32), (Trial(0.5, 1.0, "huis"),)
    recording = Recording(tmp_path, seeg, FS, ("LA1", "LA2"), audio, 48000.0, 0.0, trials)
    source = load(write_recording(recording, tmp_path))
    assert (source.fs, source.labels) == (FS, ("LA1", "LA2"))
    # float32 in float64 and back.
    np.testing.assert_array_equal(source.seeg, seeg)


def test_command_line_errors(ramp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(ramp), "--burst", "0"]) == 2
    assert "1 or more" in capsys.readouterr().err
    assert main([str(ramp), "--start-s", "5"]) == 2
    assert "recording's 1 s" in capsys.readouterr().err


@pytest.mark.lsl
def test_play_counts_what_it_pushed() -> None:
    seeg, ready = np.zeros((100, 2), np.float32), []
    options = {"source_id": uuid4().hex, "wait_for_consumer": False, "linger_s": 0.0}
    assert play(seeg, FS, ["A1", "A2"], burst=32, on_ready=ready.append, **options) == 100
    assert ready == [options["source_id"]]
    assert play(seeg, FS, ["A1", "A2"], loop=True, duration_s=0.25, **options) == 256
    with pytest.raises(SeegvoxError):
        play(seeg, FS, ["A1", "A2"], unit="bananas", **options)


@pytest.mark.lsl
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly(ramp: Path, number: signal.Signals) -> None:
    with spawn_amplifier(ramp, "--loop", "--source-id", uuid4().hex, "--linger-s", "60") as process:
        process.send_signal(number)
        assert process.wait(10) == 0


@pytest.mark.lsl
def test_integers_saturate_and_sections_are_cut(tmp_path: Path) -> None:
    path, sid = tmp_path / "big.npy", uuid4().hex
    seeg = np.array([[0.0], [1.6], [4e4], [-4e4]], np.float32).repeat(64, axis=0)
    save_array(path, seeg, Fraction(256), ["A1"])
    options = ["--dtype", "int16", "--start-s", "0.25", "--stop-s", "1", "--wait"]
    with spawn_amplifier(path, *options, "--source-id", sid):
        inlet = pylsl.StreamInlet(pylsl.resolve_byprop("source_id", sid, timeout=10)[0])
        inlet.open_stream(5)
        samples, _ = inlet.pull_chunk(5.0, 192)
    assert [row[0] for row in samples] == [2] * 64 + [32767] * 64 + [-32768] * 64


@pytest.mark.lsl
def test_streams_verb(capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    outlet = Outlet(name="visible", unit="volts", dtype="int32")
    parser = argparse.ArgumentParser()
    streams.add_parser(parser.add_subparsers())
    args = parser.parse_args(["streams", "--timeout", "1", "--json"])
    assert args.run(args) == 0
    rows = {row["source_id"]: row for row in json.loads(capsys.readouterr().out)}
    row = rows[outlet.source_id]
    assert (row["name"], row["type"], row["channels"]) == ("visible", "EEG", 4)
    assert (row["rate_hz"], row["format"], row["units"]) == (1024.0, "int32", ["volts"])
    assert row["labels"] == ["LA1", "LA2", "LA3", "LB1"]
    assert row["host"]
    args = parser.parse_args(["streams", "--timeout", "1"])
    assert args.run(args) == 0
    assert outlet.source_id in capsys.readouterr().out
