"""Score against latency: what a decoder gains by waiting, from a study's look-ahead variants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.errors import need
from models.files import new_file
from models.hops import HOP
from tools.report_svg import LIGHT, new_figure, style
from training.scores import Interval
from training.study import LOOKAHEAD, Row

HOP_MS = 1e3 * float(HOP)
CAUSAL = "causal"
_PANELS = {"mel_r_speech": "speech-only mel r", "mel_r": "mel r, all frames"}
_COLOURS = ("front_end", "decoder", "encoder", "vocoder")


def lookahead_ms(row: Row) -> float | None:
    """A row's target look-ahead, milliseconds; None for what is no causal variant."""
    if row.name == CAUSAL:
        return 0.0
    hops = row.name.removeprefix(LOOKAHEAD)
    return HOP_MS * int(hops) if row.name != hops else None


def curves(rows: Sequence[Row]) -> dict[float, list[tuple[float, Row]]]:
    """Rows by gain, each with its look-ahead in ms, shortest first; only where there are two."""
    found: dict[float, list[tuple[float, Row]]] = {}
    for row in rows:
        ahead = lookahead_ms(row)
        if ahead is not None:
            found.setdefault(row.gain, []).append((ahead, row))
    return {
        gain: sorted(points, key=lambda point: point[0])
        for gain, points in found.items()
        if len(points) > 1
    }


def write_lookahead(rows: Sequence[Row], path: Path) -> bool:
    """Plot the trade into a PNG, replacing it; False, and no file, if no gain has two points.

    Raises
    ------
    MissingExtraError
        If matplotlib (the extra `report`) is not installed.
    """
    drawn = curves(rows)
    if not drawn:
        return False
    need("matplotlib", "report")
    with style():
        figure = new_figure(4.0)
        for axis, measure in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
            for (gain, points), colour in zip(drawn.items(), _COLOURS * len(drawn), strict=False):
                _draw(axis, measure, gain, points, LIGHT[colour])
            axis.set_title(_PANELS[measure])
            axis.set_xlabel("target look-ahead, ms (added to the latency)")
            axis.grid(axis="y")
            axis.legend(frameon=False)
        with new_file(path, overwrite=True) as partial:
            figure.savefig(partial, format="png", facecolor="white")
    return True


def _draw(
    axis: Any, measure: str, gain: float, points: Sequence[tuple[float, Row]], colour: str
) -> None:
    scores = [row.scores[measure] for _, row in points]
    middle = [score.mean if isinstance(score, Interval) else score for score in scores]
    ahead = [ms for ms, _ in points]
    axis.plot(ahead, middle, "o-", color=colour, label=f"gain {gain:g}, n = {points[0][1].count}")
    known = [(ms, s) for ms, s in zip(ahead, scores, strict=True) if isinstance(s, Interval)]
    if known:
        axis.vlines(
            [ms for ms, _ in known], [s.low for _, s in known], [s.high for _, s in known], colour
        )
