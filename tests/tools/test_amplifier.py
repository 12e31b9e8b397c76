import json
import signal
import threading
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import numpy as np
import pylsl
import pytest
from pylsl.util import LostError

from models.errors import BusyOutputError, RecordingError, SeegvoxError
from realtime.recordings import Recording, Trial
from tests.lsl_outlets import Outlet
from tools import streams
from tools.amplifier import load, main, play, save_array, spawn_amplifier
from tools.faults.outlet import wait_until
from training.nwb import write_recording

FS = Fraction(1024)


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    path = tmp_path / "ramp.npy"
    save_array(path, np.arange(2048.0).reshape(1024, 2).astype(np.float32), FS, ["LA1", "LA2"])
    return path


@pytest.mark.lsl
def test_bursts_are_due_with_their_last_sample_and_never_early(tmp_path: Path) -> None:
    fs, path, sid = Fraction(390625, 384), tmp_path / "odd.npy", uuid4().hex
    save_array(path, np.arange(100.0)[:, None].astype(np.float32), fs, ["A1"])
    with spawn_amplifier(path, "--burst", "32", "--wait", "--source-id", sid):
        inlet = pylsl.StreamInlet(pylsl.resolve_byprop("source_id", sid, timeout=10)[0])
        inlet.open_stream(5)
        index, stamps, came = [], [], []
        while len(index) < 100:
            rows, times = inlet.pull_chunk(5.0, 100, min_samples=1)
            came += [pylsl.local_clock()] * len(times)
            index, stamps = index + [row[0] for row in rows], stamps + list(times)
    assert index == list(range(100))
    np.testing.assert_allclose(np.diff(stamps), float(1 / fs), atol=1e-9)
    last = np.array([31, 63, 95, 99])[np.arange(100) // 32]
    assert (np.array(came) >= np.array(stamps)[last]).all()


def test_stop_ends_a_wait_at_once() -> None:
    stop = threading.Event()
    stop.set()
    assert not wait_until(pylsl.local_clock() + 1000, stop)
    assert not wait_until(pylsl.local_clock() - 1, stop)
    assert wait_until(pylsl.local_clock() - 1, threading.Event())


@pytest.mark.lsl
def test_faults_are_injected_and_told(ramp: Path, tmp_path: Path) -> None:
    """Over real LSL: a gap, NaN, and the outlet gone and back under another source id."""
    sid, other, told = uuid4().hex, uuid4().hex, tmp_path / "told.jsonl"
    plan = tmp_path / "faults.toml"
    plan.write_text(
        f"""packet = 8
        [[faults]]
        kind = "gap"
        at_s = 0.25
        ms = 125
        [[faults]]
        kind = "nan"
        at_s = 0.5
        seconds = 0.125
        contacts = ["LA2"]
        [[faults]]
        kind = "loss"
        at_s = 0.75
        seconds = 1.0
        source_id = "{other}"
        """
    )
    options = ["--inject", str(plan), "--injected", str(told), "--loop", "--source-id", sid]
    with spawn_amplifier(ramp, *options, "--wait", "--name", "sick"):
        (marked,) = pylsl.resolve_byprop("source_id", f"{sid}-faults", timeout=10)
        assert (marked.name(), marked.type()) == ("sick-faults", "Markers")
        markers = pylsl.StreamInlet(marked)
        markers.open_stream(5)
        found = pylsl.resolve_byprop("source_id", sid, timeout=10)[0]
        inlet = pylsl.StreamInlet(found, recover=False)
        inlet.open_stream(5)
        rows = []
        with pytest.raises(LostError):
            while True:
                rows += inlet.pull_chunk(5.0, 100, min_samples=1)[0]
        rows = np.array(rows)
        assert pylsl.resolve_byprop("source_id", other, timeout=10)
        notes = [markers.pull_sample(5.0) for _ in range(3)]
    index = rows[:, 0] / 2
    np.testing.assert_array_equal(np.setdiff1d(np.arange(index[-1]), index), np.arange(256, 384))
    bad = np.isnan(rows[:, 1])
    np.testing.assert_array_equal(index[bad], np.arange(512, 640))
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["gap", "nan", "loss"]
    assert [json.loads(text[0])["fault"] for text, _ in notes] == ["gap", "nan", "loss"]
    np.testing.assert_allclose([time for _, time in notes], [line["time"] for line in lines])
    # 0.25 s apart, but for the quarter of a sample that a start lies before its sample.
    np.testing.assert_allclose(np.diff([line["time"] for line in lines]), 0.25, atol=1e-3)


def test_a_wrong_plan_publishes_nothing(
    ramp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "faults.toml"
    plan.write_text('[[faults]]\nkind = "gap"\nat_s = 1\nms = 1\nlength = 5')
    assert main([str(ramp), "--inject", str(plan)]) == 2
    said = capsys.readouterr()
    assert "length" in said.err
    assert "ready" not in said.out


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
