"""Every kind of file as streams, and bad input: an error in a line, and no outlet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pylsl
import pytest

from realtime.record.record import Record
from tests.realtime.record_driver import MadeHop
from tests.tools.replaying import FS, ORIGIN, write_lab
from tests.xdf_files import Stream, XdfWriter
from tools.cli import main
from tools.replay.opened import open_streams
from tools.replay.streams import Opened, RecordedStream


def everything(stream: RecordedStream) -> tuple[Any, np.ndarray]:
    blocks = list(stream.blocks(-np.inf))
    rows = [row for block in blocks for row in block.samples]
    return rows, np.concatenate([block.stamps for block in blocks]) if blocks else np.zeros(0)


def named(opened: Opened, name: str) -> RecordedStream:
    return next(stream for stream in opened.streams if stream.about.name == name)


# --- XDF ----------------------------------------------------------------------------------------


def test_xdf_streams_are_on_the_recorders_clock(tmp_path: Path) -> None:
    path = write_lab(tmp_path / "lab.xdf", "x", lost=(100, 20))
    with open_streams(path) as opened:
        assert [s.samples for s in opened.streams] == [1004, 16000, 2, 40, 0, 0]
        rows, stamps = everything(named(opened, "amp-x"))
        index = np.array(rows)[:, 0]
        np.testing.assert_allclose(stamps, ORIGIN + index / FS, atol=1e-9)
        words, when = everything(named(opened, "words-x"))
        assert words == [("start;café", "1"), ("end;café", "2")]
        np.testing.assert_allclose(when, ORIGIN + np.array([0.5, 1.25]))


def test_a_unit_can_be_stated_for_seeg_only(tmp_path: Path) -> None:
    path = write_lab(tmp_path / "lab.xdf", "x", unit="furlong")
    with open_streams(path, "mV") as opened:
        assert named(opened, "amp-x").about.units == ("mV",) * 3
        assert named(opened, "mic-x").about.units == ("",)


# --- sessions -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of 2 s: pulls of 32 samples, one of them twice as late, and stamps that jump."""
    folder = tmp_path_factory.mktemp("sessions") / "run"
    about = {
        "stream": {"name": "amp", "type": "EEG", "source_id": "amp-1", "manufacturer": "maker"}
    }
    index = np.arange(512)
    with Record(folder, about, ["L1", "L2"], 256.0, markers=False) as record:
        for k in range(16):
            rows = index[32 * k : 32 * (k + 1)]
            stamps = 100 + rows / 256 + (50.0 if k >= 12 else 0.0)
            values = np.repeat(rows[:, None], 2, 1).astype(np.float32)
            came = 100 + (rows[-1]) / 256 + (0.05 if k == 5 else 0.002)
            record.samples(values, stamps, came)
        for k in range(20):
            record.hop(MadeHop(k), 0.0, 0.0, False)
        record.event("decoding", 100.5, why="warm")
        record.event("muted", 101.0, why="operator")
    return folder


def test_a_session_keeps_its_packets_its_stamps_and_its_arrivals(session: Path) -> None:
    with open_streams(session) as opened:
        seeg = named(opened, "amp")
        assert (seeg.about.source_id, seeg.about.labels) == ("amp-1", ("L1", "L2"))
        assert set(seeg.about.units) == {"microvolts"} and seeg.about.rate_hz == 256
        blocks = list(seeg.blocks(-np.inf))
        assert [len(b.stamps) for b in blocks] == [32] * 16
        np.testing.assert_array_equal(
            np.concatenate([b.samples[:, 0] for b in blocks]), np.arange(512)
        )
        late = [b.times[0] - b.stamps[-1] for b in blocks]
        expected = [0.002] * 5 + [0.05] + [0.002] * 6 + [0.002 - 50] * 4
        np.testing.assert_allclose(late, expected, atol=1e-9)
        events, when = everything(named(opened, "run-events"))
        assert [json.loads(row[0])["event"] for row in events] == ["decoding", "muted"]
        np.testing.assert_allclose(when, [100.5, 101.0])
        (part, *_) = seeg.blocks(101.0)
        assert part.times[0] >= 101.0
    with open_streams(session / "session.h5") as opened:
        assert named(opened, "amp").samples == 512


def test_a_session_has_its_unit(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(session), "--unit", "mV"]) == 2
    assert "microvolts" in capsys.readouterr().err


# --- NWB ----------------------------------------------------------------------------------------


def test_nwb_of_the_public_layout(tmp_path: Path) -> None:
    from fractions import Fraction

    from realtime.recordings import Recording, Trial
    from training.nwb import write_recording

    seeg = np.random.default_rng(0).normal(0, 50, (4096, 2)).astype(np.float32)
    audio = (0.1 * np.sin(np.arange(192_000) / 20)).astype(np.float32)
    trials = (Trial(0.5, 1.0, "huis"), Trial(2.0, 0.75, "boom"))
    recording = Recording(
        tmp_path, seeg, Fraction(1024), ("LA1", "LA2"), audio, 48000.0, 0.0, trials
    )
    path = write_recording(recording, tmp_path)
    with open_streams(path) as opened:
        kinds = {s.about.name: (s.about.type, s.about.rate_hz) for s in opened.streams}
        assert kinds == {
            "iEEG": ("EEG", 1024.0), "Audio": ("Audio", 48000.0), "Stimulus": ("Markers", 0.0)
        }  # fmt: skip
        rows, stamps = everything(named(opened, "iEEG"))
        np.testing.assert_allclose(np.array(rows), seeg, rtol=1e-6)
        np.testing.assert_allclose(np.diff(stamps), 1 / 1024, atol=1e-6)
        assert named(opened, "iEEG").about.labels == ("LA1", "LA2")
        words, when = everything(named(opened, "Stimulus"))
        assert [w for (w,) in words] == ["start;huis", "end;huis", "start;boom", "end;boom"]
        np.testing.assert_allclose(when - stamps[0], [0.5, 1.5, 2.0, 2.75], atol=2e-3)
        sound, heard = everything(named(opened, "Audio"))
        assert len(sound) == 192_000
        np.testing.assert_allclose(heard[0], stamps[0], atol=1e-3)


def test_a_session_exported_to_nwb_replays_too(session: Path, tmp_path: Path) -> None:
    from realtime.record.nwb import export_nwb

    path = export_nwb(session, tmp_path / "run.nwb")
    with open_streams(path) as opened:
        rows, _ = everything(named(opened, "sEEG"))
        np.testing.assert_allclose(np.array(rows)[:, 1], np.arange(512), rtol=1e-6)
        events, _ = everything(named(opened, "events"))
        assert [json.loads(row[0])["event"] for row in events] == ["decoding", "muted"]


def test_nwb_stamps_that_step_back_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import h5py

    with h5py.File(tmp_path / "x.nwb", "w") as file:
        group = file.create_group("acquisition/Gaze")
        group["data"] = np.zeros((500, 2), np.float32)
        stamps = np.arange(500) / 100
        stamps[300:] -= 2.0
        group["timestamps"] = stamps
    assert main(["replay", str(tmp_path / "x.nwb")]) == 2
    assert "step back by 1.990 s at sample 300" in capsys.readouterr().err


# --- bad input ----------------------------------------------------------------------------------


def test_what_is_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "notes.xdf"
    text.write_text("this is no recording")
    bare = tmp_path / "bare.xdf"
    bare.write_bytes(b"XDF:")
    for path, says in (
        (text, "begins with b'this'"),
        (bare, "holds no stream"),
        (tmp_path / "nowhere.xdf", "does not exist"),
        (tmp_path, "no *_ieeg file"),
    ):
        assert main(["replay", str(path)]) == 2
        said = capsys.readouterr()
        assert says in said.err
        assert said.err.count("\n") == 1
        assert "ready" not in said.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--speed", "0"], "--speed 0"),
        (["--speed", "-1"], "--speed -1"),
        (["--speed", "nan"], "--speed nan"),
        (["--burst", "0"], "burst of 0"),
        (["--streams", "nobody"], "called 'nobody'"),
        (["--streams", "twin-x"], "no samples"),
        (["--start", "50"], "nothing lies between"),
        (["--stop", "0"], "--stop 0"),
        (["--unit", "furlong"], "furlong"),
        (["--inject-into", "amp-x"], "without --inject"),
    ],
)
def test_wrong_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    path = write_lab(tmp_path / "lab.xdf", "x")
    assert main(["replay", str(path), *options]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert "ready" not in said.out


@pytest.mark.parametrize(
    ("plan", "options", "says"),
    [
        ("sead = 1", [], "unknown key 'sead'"),
        ('[[faults]]\nkind = "gap"\nat_s = 1\nms = 5\nlong = 2', [], "unknown key"),
        ('[[faults]]\nkind = "gap"\nat_s = 1\nms = 5', ["--streams", "mic-x"], "0 are sEEG"),
        ('[[faults]]\nkind = "nan"\nat_s = 1\nshare = 1', ["--inject-into", "mic-x"], "int16"),
        ('[[faults]]\nkind = "gap"\nat_s = 1\nms = 5', ["--inject-into", "words-x"], "steady rate"),
        ('[[faults]]\nkind = "gap"\nat_s = 1\nms = 5', ["--inject-into", "Z"], "called 'Z'"),
    ],
)
def test_wrong_faults_publish_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    plan: str,
    options: list[str],
    says: str,
) -> None:
    def never(*args: object) -> None:
        raise AssertionError("an outlet was opened")

    monkeypatch.setattr(pylsl, "StreamOutlet", never)
    path, toml = write_lab(tmp_path / "lab.xdf", "x"), tmp_path / "faults.toml"
    toml.write_text(plan)
    assert main(["replay", str(path), "--inject", str(toml), *options]) == 2
    assert says in capsys.readouterr().err


def test_two_seeg_streams_need_a_name_for_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.xdf"
    with XdfWriter(path) as out:
        for number in (1, 2):
            out.header(Stream(number, f"amp{number}", "EEG", 1, 100, "float32", ("A",), ("uV",)))
            out.samples(number, np.zeros((100, 1)), np.arange(100) / 100)
    toml = tmp_path / "faults.toml"
    toml.write_text('[[faults]]\nkind = "gap"\nat_s = 0.1\nms = 50\n')
    assert main(["replay", str(path), "--inject", str(toml)]) == 2
    assert "2 are sEEG" in capsys.readouterr().err


@pytest.mark.parametrize("unit", ["furlong", ""])
def test_an_unknown_unit_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: str
) -> None:
    path = write_lab(tmp_path / "lab.xdf", "x", unit=unit)
    assert main(["replay", str(path)]) == 2
    said = capsys.readouterr().err
    assert (unit or "none") in said and "--unit" in said
    # Nobody asks what the microphone's unit is.
    with open_streams(path) as opened:
        from tools.replay.choice import chosen

        assert len(chosen(opened, ["mic-x"]).streams) == 1
        assert len(chosen(opened, any_unit=True).streams) == 5


def test_stamps_that_step_back_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "back.xdf"
    stamps = np.arange(1000) / 100
    stamps[400:] -= 2.5
    with XdfWriter(path) as out:
        out.header(Stream(1, "amp", "EEG", 1, 100, "float32", ("A",), ("uV",)))
        for k in range(0, 1000, 50):
            out.samples(1, np.zeros((50, 1)), stamps[k : k + 50])
        out.header(Stream(2, "words", "Markers", 1, 0, "string"))
        out.samples(2, [("a",)], [1.0])
    for options in ([], ["--regular"]):
        assert main(["replay", str(path), *options]) == 2
        assert "step back by 2.490 s at sample 400" in capsys.readouterr().err
    with open_streams(path) as opened:
        from tools.replay.choice import chosen

        assert [s.about.name for s in chosen(opened, ["words"]).streams] == ["words"]


def test_a_file_without_any_sample_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.xdf"
    with XdfWriter(path) as out:
        out.header(Stream(1, "amp", "EEG", 1, 100, "float32", ("A",), ("uV",)))
        out.header(Stream(2, "words", "Markers", 1, 0, "string"))
    assert main(["replay", str(path)]) == 2
    assert "holds no samples" in capsys.readouterr().err
