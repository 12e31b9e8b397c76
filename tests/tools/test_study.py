from __future__ import annotations

from pathlib import Path

import pytest

from tools.study_plot import curves, write_lookahead
from training.scores import interval
from training.study import MEASURES, Row


def row(gain: float, name: str, *values: float) -> Row:
    score = interval(values) or values[0]
    return Row(gain, name, len(values), dict.fromkeys(MEASURES, score))


ROWS = [
    row(1.1, "causal", 0.2, 0.25),
    row(1.1, "look-ahead 13", 0.3, 0.35),
    row(1.1, "look-ahead 4", 0.25, 0.3),
    row(1.1, "densenet", 0.3, 0.3),
    row(0.5, "causal", 0.1),
]


def test_a_curve_is_the_causal_variants_of_a_gain_by_look_ahead() -> None:
    found = curves(ROWS)
    assert list(found) == [1.1]
    assert [ms for ms, _ in found[1.1]] == pytest.approx([0, 60, 195])
    assert [r.name for _, r in found[1.1]] == ["causal", "look-ahead 4", "look-ahead 13"]


def test_the_plot_is_written_where_there_is_something_to_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert write_lookahead(ROWS, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert not write_lookahead(ROWS[-1:], tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()
