"""`seegvox decode`: one file, a folder of them, what if, and what a person is told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from realtime.record.reading import read_run
from realtime.redecode import Request, decode
from tests.realtime.redecode.made import (
    FS,
    bundle_for,
    noise,
    pulls_of,
    write_session,
    write_xdf,
)
from tests.sound_servers import wait_for
from tests.tools.test_cli import failed
from tools.cli import main
from tools.decode_files import found_files
from tools.decode_report import write_decode_report
from tools.decode_scores import on_grid, sound_on_grid
from tools.decode_table import differs, table

ROOT = Path(__file__).resolve().parents[2]


def call(*words: object) -> int:
    return main(["decode", *map(str, words)])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pulls = pulls_of(noise(4), lost=[range(2000, 2020)])
    return write_session(tmp_path_factory.mktemp("verb") / "monday", bundle_for(), pulls)


def speech(path: Path, seconds: float = 14.0) -> Path:
    """Tones that come and go, as WAV at 22 050 Hz."""
    t = np.arange(int(seconds * 22_050)) / 22_050
    sound = 0.3 * np.sin(2 * np.pi * (200 + 100 * np.sin(t)) * t) * (np.sin(2 * t) > 0)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes((32767 * sound).astype("<i2").tobytes())
    return path


def test_a_session_comes_out_the_same(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "out", tmp_path / "all.json"
    assert call(session, "--out", out, "--json", report) == 0
    said = capsys.readouterr().out.splitlines()
    assert re.match(r"monday +0:00:0[34]\.\d +26\d +[\d.]+x +0 +20 +0 +yes$", said[1])
    assert said[-1] == str(out)
    (row,) = json.loads(report.read_text())["files"]
    assert row["identical"] is True
    with wave.open(str(out / "audio.wav")) as file:
        assert file.getnframes() == row["hops"] * 240
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    # 16 bits: half a step.
    np.testing.assert_allclose(heard / 32767, read_run(session).audio, atol=0.5 / 32767)
    assert main(["session", "show", str(out)]) == 0
    assert f"{row['hops']} hops: 0 late" in capsys.readouterr().out


def test_what_was_changed_is_told_and_is_no_failure(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(session, "--out", tmp_path / "o", "--mask", "A1", "A3", "--vocoder", "rtisi") == 0
    said = capsys.readouterr().out
    assert "changed: vocoder, mask" in said
    assert re.search(r"\d+ of \d+ hops differ from the session as recorded, mel by up to", said)


def test_a_session_that_comes_out_otherwise_is_a_failure() -> None:
    row = {"identical": False, "versions_differ": {}, "notes": []}
    assert differs(row)
    assert not differs({**row, "versions_differ": {"numpy": ("1", "2")}})
    assert not differs({**row, "notes": ["the record lacks 3 samples that were decoded live"]})
    assert not differs({"file": "x", "error": "y"})


def test_a_folder_in_parallel_with_a_bad_file_in_it(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "week"
    (folder / "sub").mkdir(parents=True)
    write_xdf(folder / "a.xdf", noise(3))
    (folder / "b.xdf").write_text("time,a,b\n")
    write_xdf(folder / "sub" / "a.xdf", noise(2))
    (folder / "notes.txt").write_text("not a recording")
    os.symlink(session, folder / "monday")
    args = [folder, "--bundle", bundle_for(), "--out", tmp_path / "out", "--jobs", 2]
    assert call(*args, "--json", tmp_path / "all.json") == 1
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["file", "a.xdf", "b.xdf", "monday", "a.xdf"]
    assert "error: " in lines[2]
    assert "an XDF file, which begins with" in lines[2]
    assert lines[3].rstrip().endswith("yes")
    assert lines[-1] == "4 files, 1 failed"
    assert "4 of 4" in told.err
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("out/**/session.h5")) == [
        "out/a/session.h5", "out/monday/session.h5", "out/sub/a/session.h5",
    ]  # fmt: skip
    assert not list(tmp_path.glob("**/.*partial*"))
    assert json.loads((tmp_path / "all.json").read_text())["failed"] == 1
    # A process of its own computes the same.
    alone = decode(Request(folder / "a.xdf", tmp_path / "alone", bundle_for()))
    assert alone["hops"] == 200
    assert (
        read_run(tmp_path / "alone").mel.tobytes() == read_run(tmp_path / "out" / "a").mel.tobytes()
    )


def test_names_of_several_files(session: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_xdf(tmp_path / name / "r.xdf", noise(1)) if (
            tmp_path / name
        ).mkdir() is None else None
    out = tmp_path / "out"
    given = [tmp_path / "x" / "r.xdf", tmp_path / "y" / "r.xdf", session]
    found, alone = found_files(given, out)
    assert [str(to.relative_to(out)) for _, to in found] == ["r", "r-2", "monday"]
    assert not alone
    assert found_files([session], out) == ([(session, out)], True)


def test_bad_input_is_one_line_and_leaves_nothing(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_xdf(tmp_path / "r.xdf", noise(1))
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    for words, said in (
        ([path, "--out", out], "no bundle for"),
        ([tmp_path / "none.xdf", "--out", out, "--bundle", bundle_for()], "does not exist"),
        ([empty, "--out", out], "holds nothing to decode"),
        ([session, "--out", out, "--jobs", 0], "--jobs 0"),
        ([session, "--out", out, "--audio", path], "--audio without --report"),
        ([session, path, "--out", out, "--report", "--audio", path], "--audio for 2 files"),
        ([session, "--out", out, "--json", path], "exists already"),
        ([session, "--out", session], "exists already"),
        ([session, "--out", out, "--mask", "B9"], "--mask B9"),
    ):
        assert said in failed(capsys, "decode", *words)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "r.xdf"]


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_leaves_nothing_and_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "week"
    folder.mkdir()
    for name in "ab":
        write_xdf(folder / f"{name}.xdf", noise(300))
    command = [sys.executable, "-m", "tools.cli", "decode", folder, "--bundle", bundle_for()]
    command += ["--out", tmp_path / "out", "--jobs", "2"]
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/.*partial*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    # As a terminal does it: the whole group.
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not list(tmp_path.glob("out/**/session.h5"))
    assert not list(tmp_path.glob("out/.*partial*"))
    # What multiprocessing keeps of its own goes a moment after its parent.
    wait_for(lambda: not _alive(process.pid), 10, "the end of the group")


def test_report_of_a_session_with_a_microphone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pulls = pulls_of(noise(14), lost=[range(5000, 5400)])
    session = write_session(tmp_path / "<monday>", bundle_for(), pulls)
    out = tmp_path / "out"
    summary = decode(Request(session, out, mask=("A1",)))
    path = write_decode_report(out, summary, speech(tmp_path / "mic.wav"), 0.5)
    page = path.read_text()
    assert page.count("<audio ") == 3
    for words in ("microphone", "as recorded", "decoded now", "Changed on purpose: mask", "MCD"):
        assert words in page
    assert "&lt;monday&gt;" in page
    assert "<monday>" not in page
    # Nothing is fetched from anywhere.
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    alone = write_decode_report(out, summary).read_text()
    assert "There is no microphone" in alone
    assert alone.count("<audio ") == 2


def test_report_of_a_recording_with_its_own_microphone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("soxr")
    from tests.xdf_files import Session

    made = Session(seconds=12, fs=FS, contacts=8)
    path = made.write(tmp_path / "r.xdf")
    assert call(path, "--bundle", bundle_for(), "--out", tmp_path / "out", "--report") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<audio ") == 2
    assert "as recorded" not in page


def test_hops_stand_where_their_sound_was() -> None:
    index = np.array([0, 1, 4])
    mel = np.arange(3, dtype=np.float32)[:, None] * np.ones((1, 80), np.float32)
    placed = on_grid(mel, index, 5, ahead=1)
    assert placed[:, 0].tolist()[0] == 1
    assert placed[3, 0] == 2
    assert np.isnan(placed[[1, 2, 4]]).all()
    sound = sound_on_grid(np.repeat(mel[:, 0] + 1, 240), index, 5).reshape(5, 240)
    assert sound[:, 0].tolist() == [1, 2, 0, 0, 3]


def test_table_of_several_files() -> None:
    row = {
        "file": "a.xdf", "decoded_s": 61.5, "hops": 4100, "times_real_time": 31.24,
        "masked_hops": 0, "bridged_samples": 3, "cold_starts": 1, "identical": None,
        "notes": ["cut"], "changed": [], "comparison": None, "out": "o",
    }  # fmt: skip
    lines = table([row, {"file": "b.xdf", "error": "no XDF"}], alone=False).splitlines()
    assert lines[1].split() == ["a.xdf", "0:01:01.5", "4100", "31.2x", "0", "3", "1", "-"]
    assert lines[2].endswith("error: no XDF")
    assert lines[3:] == ["a.xdf: cut", "2 files, 1 failed"]
