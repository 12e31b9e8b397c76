"""Each measuring verb: what its JSON holds, what it prints, what it refuses."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.bench.document import SCHEMA, SCHEMA_VERSION, Figure, document
from tools.bench.parts import Piece, algorithmic, told
from tools.cli import main

PERCENTILES = {"p50_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms"}
STAGES = {"front_end", "encoder", "decoder", "vocoder", "limiter"}


def ran(tmp_path: Path, *words: object) -> dict[str, Any]:
    out = tmp_path / "figures.json"
    assert main(["bench", *map(str, words), "--json", str(out)]) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    assert (found["schema"], found["schema_version"]) == (SCHEMA, SCHEMA_VERSION)
    assert found["kind"] == words[0]
    assert isinstance(found["environment"]["cores"], int)
    machine = {"cpu", "cores", "governor", "kernel", "load", "load_after", "versions", "commit"}
    assert machine | {"meanwhile"} <= set(found["environment"])
    for figure in found["figures"].values():
        assert set(figure) == PERCENTILES | {"part", "what", "count", "rounds_us"}
        assert figure["count"] == sum(map(len, figure["rounds_us"])) > 0
        assert 0 <= figure["p50_ms"] <= figure["p99_ms"] <= figure["max_ms"]
    return found


def test_step(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ran(tmp_path, "step", tiny_bundle, "--hops", 100, "--pace", "back_to_back")
    names = {"step_float32", "floor", "window", "eager", "hiccup"}
    assert set(found["figures"]) == {f"back_to_back.{name}" for name in names}
    assert set(found["ratios"]) == {
        f"back_to_back.step_float32 / {name}" for name in ("floor", "window", "eager")
    }
    assert {f["part"] for f in found["figures"].values()} == {"compute", "yardstick", "machine"}
    assert "ratios of p50" in capsys.readouterr().out


@pytest.mark.paced
def test_hop_paced(tiny_bundle: Path, tmp_path: Path) -> None:
    words = ("hop", tiny_bundle, "--hops", 100, "--pace", "paced", "--no-yardsticks")
    found = ran(tmp_path, *words)
    own = {f"paced.hop_float32.{stage}" for stage in STAGES} | {"paced.hop_float32"}
    assert set(found["figures"]) == own | {"paced.timer", "paced.hiccup", "paced.linear_chain"}
    assert sum(found["late"]["paced.hop_float32"]["hops"]) == 100
    assert {"priority", "memory", "cores_awake"} <= set(found["environment"])
    path = found["path"]
    assert {piece["name"] for piece in path["measured"]} == STAGES
    assert {piece["part"] for piece in path["before"]} == {"algorithmic"}
    pieces = [*path["before"], *path["measured"]]
    assert sum(piece["ms"] for piece in pieces) == pytest.approx(path["total_ms"])


def test_vocoder(tiny_bundle: Path, tmp_path: Path) -> None:
    found = ran(tmp_path, "vocoder", tiny_bundle, "--hops", 100, "--pace", "back_to_back")
    names = {"phase", "rtisi", "griffin_lim_block", "hiccup"}
    assert {f"back_to_back.{name}" for name in names} <= set(found["figures"])
    assert found["lookahead_ms"]["phase"] == 7.5


def test_scale(tmp_path: Path) -> None:
    words = ["scale", "--hops", 20, "--pace", "back_to_back", "--no-corners", "--contacts", 16]
    words += ["--rate-hz", "--hidden", "--hop-ms", 5]
    found = ran(tmp_path, *words)
    rows = {row["name"]: row for row in found["sizes"]}
    assert {(row["contacts"], row["hop_ms"]) for row in rows.values()} == {
        (112, 15),
        (16, 15),
        (112, 5),
    }
    assert rows["16c_1024hz_256h_15ms_float32"]["network_mmacs"] < max(
        row["network_mmacs"] for row in rows.values()
    )
    assert set(found["fits"]["exponents"]) == {"contacts", "hop_ms"}


class Page(HTMLParser):
    """Tags of a page, with what they ask for from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]


def test_a_page_needs_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a made-up live run: two servers, each with plots, a waterfall of means and of one hop."""
    path = told([Piece("playout", 40.0, "buffer", "<b>less</b>")], algorithmic(9.5), "made up")
    one_hop = {"hop": 7, "pieces_ms": {"playout": 40.0}, "total_ms": 40.0}
    rounds = [np.random.default_rng(k).lognormal(3, 0.1, 200) for k in range(5)]
    figures = {
        f"{server}.burst_1.{name}": Figure(rounds, "made up", "total")
        for server in ("jack", "pulse")
        for name in ("end_to_end", "playout")
    }
    found = document("live", {"seconds": 9.0}, figures, {"cpu": "<none>", "load": [0.0]})
    found["paths"] = {f"{server}.burst_1": path | {"one_hop": one_hop} for server in "ab"}
    found["notes"] = ["it was made up"]
    out, page = tmp_path / "figures.json", tmp_path / "page.html"
    out.write_text(json.dumps(found))
    assert main(["bench", "report", str(out), str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    read = Page()
    read.feed(text)
    assert read.tags.count("svg") == 2 * 2 + 2 * 2
    assert all(address.startswith("#") for address in read.addresses)
    assert "script" not in read.tags and "b" not in read.tags
    assert "what is algorithmic and what is compute" in text
    assert main(["bench", "report", str(out), str(page)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_second_run_is_refused_before_it_measures(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    out.write_text("{}")
    for verb in ("step", "hop", "vocoder", "live", "transport"):
        assert main(["bench", verb, str(tiny_bundle), "--json", str(out)]) == 2
        assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "{}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["step", "BUNDLE", "--hops", "5"], "at least 100"),
        (["hop", "BUNDLE", "--hops", "100", "--vocoder", "parrot"], "no streaming vocoder"),
        (["hop", "BUNDLE", "--hops", "100", "--weights", "int8"], "no graphs with int8 weights"),
        (["vocoder", "BUNDLE", "--vocoders", "parrot"], "no streaming vocoder"),
        (["live", "BUNDLE", "--seconds", "3"], "at least 11 s"),
        (["train", "sleep"], "nothing is called sleep"),
        (["scale", "--hops", "1"], "at least 20"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], said: str, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(tiny_bundle) if word == "BUNDLE" else word for word in words]
    assert main(["bench", *command]) == 2
    assert said in capsys.readouterr().err


def test_help_lists_what_can_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    said = capsys.readouterr().out
    for verb in ("step", "hop", "live", "soak", "scale", "vocoder", "train", "compare", "report"):
        assert f"    {verb} " in said
