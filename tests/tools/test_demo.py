"""The demo's parts that need no minutes: cache, options. The whole runs in `make demo`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.cli import main
from tools.demo_cache import code_hash, folder_hash
from training.markers import cached, remember


def test_a_step_is_reused_only_if_made_from_the_same(tmp_path: Path) -> None:
    marker = tmp_path / "made_from.json"
    key = {"seed": 0, "speech": Path("x"), "gain": 1.5}
    assert not cached(marker, key)
    remember(marker, key)
    assert cached(marker, key)
    assert not cached(marker, {**key, "gain": 1.6})
    marker.write_text("{")
    assert not cached(marker, key)


def test_code_and_files_count(tmp_path: Path) -> None:
    assert code_hash("models") != code_hash("models", "realtime")
    (tmp_path / "a.wav").write_bytes(b"1")
    before = folder_hash(tmp_path)
    (tmp_path / "b.wav").write_bytes(b"2")
    assert folder_hash(tmp_path) != before


def test_bad_options_end_in_a_line_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--dir", str(tmp_path / "d"), "--minutes", "90"]) == 2
    line = capsys.readouterr().err
    assert "'minutes' is 90.0" in line
    assert main(["demo", "--dir", str(tmp_path / "d"), "--speech", str(tmp_path / "none")]) == 2
    assert "no speech in" in capsys.readouterr().err


def test_a_patient_is_written_and_streamed_by_the_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "patient"
    write = ["simulate", "write", str(folder), "--minutes", "0.3", "--session", "sentences"]
    assert main(write) == 0
    nwb = Path(capsys.readouterr().out.strip())
    assert nwb.is_file()
    assert (nwb.parent / "sub-01_truth.json").is_file()
    assert main(write) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["simulate", "write", str(folder), "--session", "songs"]) == 2
    assert "'session' is 'songs'" in capsys.readouterr().err
