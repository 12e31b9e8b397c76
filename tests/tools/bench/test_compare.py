"""`bench compare`: two documents in, verdicts and an exit status out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.bench.document import Document, Figure, document, read_document
from tools.cli import main

MACHINE = {"cpu": "made up", "cores": 2, "load": [0.0, 0.0, 0.0]}


def made_up(seed: int, factor: float = 1.0, kind: str = "step", **more: Any) -> Document:
    rng = np.random.default_rng(seed)

    def rounds(scale: float) -> list[np.ndarray]:
        return [scale * rng.lognormal(0, 0.1, 100) for _ in range(50)]

    figures = {
        "paced.step_int8": Figure(rounds(factor), "made up", "compute"),
        "paced.floor": Figure(rounds(0.7), "made up", "yardstick"),
        "paced.timer": Figure(rounds(0.1 * factor), "made up", "machine"),
    }
    return document(kind, {"hops": 5000}, figures, MACHINE, **more)


def write(path: Path, found: Document) -> Path:
    path.write_text(json.dumps(found))
    return path


def test_two_runs_of_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a.json", made_up(0)), write(tmp_path / "b.json", made_up(1))
    assert main(["bench", "compare", str(a), str(b)]) == 0
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if line.startswith("paced.step_int8")]
    assert [line.split()[1] for line in rows] == ["p50", "p99", "p99.9"]
    assert all("within noise" in line for line in rows[:2])
    assert "not told" in rows[2]
    # The machine's own figures and the yardsticks are not judged.
    assert "paced.timer" not in said
    assert "paced.floor" not in said
    assert "5 % find a difference at most" in said


def test_a_worse_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.json", made_up(0))
    b = write(tmp_path / "b.json", made_up(1, 1.2))
    out = tmp_path / "differences.json"
    assert main(["bench", "compare", str(a), str(b), "--json", str(out)]) == 1
    assert "worse" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert found[0]["verdict"] == "worse"
    assert found[0]["change"] == pytest.approx(0.2, abs=0.03)
    assert main(["bench", "compare", str(b), str(a)]) == 0
    assert "better" in capsys.readouterr().out
    assert main(["bench", "compare", str(a), str(b), "--json", str(out)]) == 2


def test_what_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.json", made_up(0))
    hop = write(tmp_path / "hop.json", made_up(0, kind="hop"))
    assert main(["bench", "compare", str(a), str(hop)]) == 2
    assert "`bench step` against `bench hop`" in capsys.readouterr().err
    later = write(tmp_path / "later.json", made_up(0) | {"schema_version": 99})
    assert main(["bench", "compare", str(a), str(later)]) == 2
    assert "seegvox benchmark 99; expected seegvox benchmark 1" in capsys.readouterr().err
    (tmp_path / "none.json").write_text("{}")
    assert main(["bench", "compare", str(a), str(tmp_path / "none.json")]) == 2


def test_what_else_differs_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = made_up(1)
    other["environment"] = MACHINE | {"cpu": "another"}
    other["asked"] = {"hops": 9000}
    a, b = write(tmp_path / "a.json", made_up(0)), write(tmp_path / "b.json", other)
    main(["bench", "compare", str(a), str(b)])
    said = capsys.readouterr().out
    assert "cpu: made up -> another" in said
    assert "asked for otherwise: hops" in said


def test_a_document_reads_back_as_it_was(tmp_path: Path) -> None:
    found = read_document(write(tmp_path / "a.json", made_up(0)))
    figure = found["figures"]["paced.step_int8"]
    assert len(figure["rounds_us"]) == 50
    assert figure["count"] == 5000
    assert figure["p50_ms"] == pytest.approx(np.median(figure["rounds_us"]) / 1e3, rel=1e-3)
