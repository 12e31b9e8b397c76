"""The replay over real LSL: what inlets receive, against what the file holds."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from realtime.recordings.xdf_file import XdfFile
from realtime.streams import describe
from tests.tools.replaying import FS, Listener, command, heard, replaying, write_lab
from tests.xdf_files import Session

# A clock that is read as a double near 1e5 s, moved by two additions.
ROUNDING_S = 1e-9


def ids(*names: str) -> list[str]:
    return [f"{number}-src" for number in names]


def recorded(path: Path) -> dict[str, tuple[list, np.ndarray]]:
    """Values and times of every stream, by our reader, which is proven against pyxdf elsewhere."""
    out = {}
    with XdfFile(path) as file:
        for header in file.streams:
            pieces = list(file.pieces(header.id))
            rows = [
                row
                for piece in pieces
                for row in (
                    piece.values if isinstance(piece.values, list) else piece.values.tolist()
                )
            ]
            times = np.concatenate([p.stamps for p in pieces]) if pieces else np.zeros(0)
            out[header.name] = (rows, times)
    return out


@pytest.mark.lsl
def test_every_stream_comes_as_it_was(tmp_path: Path) -> None:
    path = write_lab(tmp_path / "lab.xdf", "all", lost=(300, 40), jitter_s=0.003)
    played = heard(path, ids("1", "2", "3", "4", "5"))
    assert played.status == 0, played.err
    truth = recorded(path)
    assert set(played.received) == {f"{k}-all" for k in ("amp", "mic", "words", "eye", "silent")}
    shifts = []
    for name, got in played.received.items():
        rows, times = truth[name]
        assert [list(row) for row in got.rows] == [list(row) for row in rows]
        if len(times):
            shifts.append(got.times - times)
            # Nothing before its own timestamp.
            assert (np.array(got.came) >= got.times).all()
    # One shift for all streams: relative timing is kept to the rounding of doubles.
    every = np.concatenate(shifts)
    assert np.ptp(every) < ROUNDING_S
    told = {row["name"]: row for row in played.summary["streams"]}
    assert told["amp-all"]["samples"] == round(2 * FS) - 40
    assert any("twin-all" in note for note in played.summary["notes"])


@pytest.mark.lsl
def test_outlets_say_what_the_senders_said(tmp_path: Path) -> None:
    path = write_lab(tmp_path / "lab.xdf", "says", unit="µV")
    played = heard(
        path, ids("1", "2", "3"), "--streams", "amp-says", "2-src", "words-says", "--stop", "0.3"
    )
    assert played.status == 0, played.err
    amp = describe(played.received["amp-says"].info)
    assert (amp.name, amp.type, amp.source_id) == ("amp-says", "EEG", "1-src")
    assert (amp.labels, set(amp.units), set(amp.types)) == (("A1", "A2", "B1"), {"µV"}, {"SEEG"})
    assert (float(amp.rate), amp.dtype, amp.channels) == (FS, "float32", 3)
    mic = describe(played.received["mic-says"].info)
    assert (mic.type, mic.dtype, float(mic.rate)) == ("Audio", "int16", 8000)
    words = describe(played.received["words-says"].info)
    assert (words.dtype, words.channels, float(words.rate)) == ("string", 2, 0)
    assert "lab.xdf" in played.received["amp-says"].info.as_xml()


@pytest.mark.lsl
def test_a_part_faster_and_in_large_packets(tmp_path: Path) -> None:
    path = write_lab(tmp_path / "lab.xdf", "part", seconds=4.0)
    options = ("--start", "1", "--stop", "3", "--speed", "4", "--burst", "64")
    played = heard(path, ids("1", "3"), "--streams", "amp-part", "words-part", *options)
    got = played.received["amp-part"]
    np.testing.assert_array_equal(got.values[:, 0], np.arange(512, 1536))
    np.testing.assert_allclose(np.diff(got.times), 1 / FS / 4, atol=ROUNDING_S)
    assert describe(got.info).rate == 4 * FS
    assert [row[0] for row in played.received["words-part"].rows] == ["end;café"]
    (row,) = (r for r in played.summary["streams"] if r["name"] == "amp-part")
    assert (row["samples"], row["packets"]) == (1024, 16)
    # A sample cannot come before the last of its packet was due.
    ends = got.times[63::64][np.arange(1024) // 64]
    assert (np.array(got.came) >= ends).all()


@pytest.mark.lsl
def test_a_loop_goes_on_without_a_seam_until_it_is_stopped(tmp_path: Path) -> None:
    path = write_lab(tmp_path / "lab.xdf", "loop")
    with replaying(
        path, "--loop", "--streams", "amp-loop", "--wait", "--stop", "0.5", "--json"
    ) as process:
        listener = Listener("1-src")
        while len(listener.got.stamps) < 600:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
        got = listener.end()
    assert process.returncode == 0, err
    np.testing.assert_array_equal(got.values[:, 0], np.arange(len(got.rows)) % 256)
    np.testing.assert_allclose(np.diff(got.times), 1 / FS, atol=ROUNDING_S)
    assert json.loads(out)["stopped"] is True


@pytest.mark.lsl
def test_regular_removes_jitter_and_keeps_the_gap(tmp_path: Path) -> None:
    path = write_lab(tmp_path / "lab.xdf", "reg", seconds=4.0, lost=(1000, 100), jitter_s=0.002)
    got = heard(path, ids("1"), "--streams", "amp-reg", "--regular").received["amp-reg"]
    index = got.values[:, 0]
    np.testing.assert_array_equal(index, np.setdiff1d(np.arange(2048), np.arange(1000, 1100)))
    steps = np.diff(got.times) / np.diff(index)
    # Late by |N(0, 2 ms)| a packet: over 4 s the rate is told to about 0.1 ms / 4 s.
    np.testing.assert_allclose(steps, 1 / FS, rtol=1e-4)
    assert np.ptp(steps) < 1e-9


@pytest.mark.lsl
def test_faults_are_put_into_the_seeg_and_told(tmp_path: Path) -> None:
    path = write_lab(tmp_path / "lab.xdf", "sick", seconds=3.0)
    plan = tmp_path / "faults.toml"
    plan.write_text(
        """seed = 3
        [[faults]]
        kind = "gap"
        at_s = 0.5
        ms = 125
        [[faults]]
        kind = "nan"
        at_s = 1.0
        seconds = 0.25
        contacts = ["A2"]
        [[faults]]
        kind = "saturation"
        at_s = 1.5
        seconds = 0.25
        contacts = ["B1"]
        [[faults]]
        kind = "backward"
        at_s = 2.0
        ms = 25
        """
    )
    both = ("amp-sick", "words-sick")
    played = heard(
        path, ["1-src", "3-src", "1-src-faults"], "--inject", str(plan), "--streams", *both
    )
    assert played.status == 0, played.err
    got = played.received["amp-sick"]
    index = got.values[:, 0].astype(int)
    np.testing.assert_array_equal(np.setdiff1d(np.arange(1536), index), np.arange(256, 320))
    assert (np.diff(index) > 0).all()
    np.testing.assert_array_equal(index[np.isnan(got.values[:, 1])], np.arange(512, 640))
    # Its value is minus its index, so its rail is the lower one.
    np.testing.assert_array_equal(index[got.values[:, 2] == -10_000], np.arange(768, 896))
    off = got.times - got.times[0] - index / FS
    np.testing.assert_allclose(off[off < -1e-6], -0.025, atol=ROUNDING_S)
    assert np.count_nonzero(off < -1e-6) == 8
    notes = played.received["amp-sick-faults"]
    assert [json.loads(row[0])["fault"] for row in notes.rows] == [
        "gap",
        "nan",
        "saturation",
        "backward",
    ]
    # Told at its time; a start lies a quarter of a sample before its sample.
    np.testing.assert_allclose(notes.times - got.times[0], [0.5, 1, 1.5, 2], atol=1 / FS)
    assert played.summary["faults"] == 4
    # What is not faulty is untouched.
    assert len(played.received["words-sick"].rows) == 2


@pytest.mark.lsl
def test_a_loss_closes_the_outlet_and_another_returns(tmp_path: Path) -> None:
    path, plan = write_lab(tmp_path / "lab.xdf", "lost", seconds=6.0), tmp_path / "faults.toml"
    plan.write_text(
        '[[faults]]\nkind = "loss"\nat_s = 1.0\nseconds = 1.5\nsource_id = "back"\n'
        'drop = ["A1"]\nrename = {B1 = "C9"}\nreverse = true\n'
    )
    with replaying(
        path, "--inject", str(plan), "--streams", "amp-lost", "--wait", "--json"
    ) as process:
        first, second = Listener("1-src"), Listener("back")
        _, err = process.communicate(timeout=30)
        before, after = first.end(), second.end()
    assert process.returncode == 0, err
    assert before.values[:, 0].max() < FS
    said = describe(after.info)
    assert (said.labels, said.source_id, said.units) == (("C9", "A2"), "back", ("microvolts",) * 2)
    assert -after.values[0, 0] >= 2.5 * FS - 16
    np.testing.assert_array_equal(np.diff(-after.values[:, 0]), 1)


@pytest.mark.lsl
def test_nothing_appears_when_the_fault_plan_is_wrong(tmp_path: Path) -> None:
    path, plan = write_lab(tmp_path / "lab.xdf", "none"), tmp_path / "faults.toml"
    plan.write_text('[[faults]]\nkind = "flat"\nat_s = 1\ncontacts = ["Z9"]\n')
    done = subprocess.run(
        [*command(path), "--inject", str(plan)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "no contact Z9" in done.stderr
    assert "ready" not in done.stdout


@pytest.mark.lsl
def test_a_truncated_file_plays_up_to_the_cut_and_says_so(tmp_path: Path) -> None:
    path = Session(seconds=6.0, audio=False).write(tmp_path / "whole.xdf")
    cut = tmp_path / "cut.xdf"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    played = heard(cut, ["1-src"], "--streams", "Micromed", "--speed", "4")
    assert played.status == 0
    index = played.received["Micromed"].values[:, 0]
    np.testing.assert_array_equal(index, np.arange(len(index)))
    assert 3 * 512 < len(index) < 5 * 512
    assert "past the end" in played.err
    assert any("past the end" in note for note in played.summary["notes"])
