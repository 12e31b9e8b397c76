from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.cli import main

PERCENTILES = {"p50_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms"}


@pytest.mark.parametrize("pace", ["paced", "back_to_back"])
def test_the_json_has_what_it_promises(
    tiny_bundle: Path, tmp_path: Path, pace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    command = ["bench", str(tiny_bundle), "--hops", "100", "--json", str(out)]
    assert main([*command, *(["--back-to-back"] if pace == "back_to_back" else [])]) == 0
    told = json.loads(out.read_text())
    assert (told["hops"], told["pace"]) == (100, pace)
    assert isinstance(told["late_hops"], int)
    stages = {"front_end", "encoder", "decoder", "vocoder", "limiter", "step", "hop"}
    assert set(told["stages"]) == stages
    assert all(set(values) == PERCENTILES for values in told["stages"].values())
    assert set(told["yardsticks"]) == {"floor", "window", "eager"}
    assert set(told["ratios"]) == {"step_to_floor", "step_to_window", "step_to_eager"}
    assert {"cpu", "cores", "kernel", "governor", "load", "versions"} <= set(told["environment"])
    hop = told["stages"]["hop"]
    assert 0 < hop["p50_ms"] <= hop["p99_ms"] <= hop["max_ms"]
    said = capsys.readouterr().out
    assert "step p50 to" in said
    # A second run does not overwrite, and says so before it measures.
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_hop_alone_needs_no_yardsticks(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    command = ["bench", str(tiny_bundle), "--hops", "100", "--back-to-back", "--no-yardsticks"]
    assert main([*command, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["yardsticks"] == {}


def test_too_few_hops(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tiny_bundle), "--hops", "5"]) == 2
    assert "at least 100" in capsys.readouterr().err
