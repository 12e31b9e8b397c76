"""Plots of a benchmark: how figures are distributed, how they went over time, a hop's waterfall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tools.bench.document import rounds_ms
from tools.report_svg import LIGHT, new_figure, style

# The page knows these colours in both schemes.
COLOURS = tuple(
    LIGHT[name]
    for name in (
        "front_end",
        "decoder",
        "encoder",
        "vocoder",
        "playout",
        "limiter",
        "transport",
        "end_to_end",
        "hop_compute",
    )
)
PART_COLOURS = {
    "algorithmic": LIGHT["transport"],
    "transport": LIGHT["vocoder"],
    "buffer": LIGHT["playout"],
    "compute": LIGHT["front_end"],
}
_POINTS = 500


def distribution(figures: Mapping[str, Mapping[str, Any]], limit_ms: float | None = None) -> Any:
    """Share of steps that are slower, of each figure, both axes logarithmic."""
    with style():
        drawn = new_figure(4.8)
        axis = drawn.subplots()
        most = max((figure["count"] for figure in figures.values()), default=1)
        for (name, figure), colour in zip(figures.items(), COLOURS, strict=False):
            values = np.sort(np.concatenate([*rounds_ms(figure), np.zeros(0)]))
            share = 1.0 - np.arange(len(values)) / max(1, len(values))
            keep = _denser_towards_the_end(len(values))
            axis.step(values[keep], share[keep], where="pre", color=colour, label=_words(name))
        if limit_ms is not None:
            axis.axvline(limit_ms, color=LIGHT["alarm"], linestyle="--", linewidth=1.2, label="hop")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylim(0.7 / most, 1.3)
        axis.minorticks_off()
        axis.xaxis.set_major_formatter(_plain)
        axis.grid()
        axis.set_xlabel("ms")
        axis.set_ylabel("share this slow or slower")
        axis.set_title("Distribution: the further right a line ends, the worse the tail")
        axis.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=9)
    return drawn


def over_time(figures: Mapping[str, Mapping[str, Any]]) -> Any:
    """Median of each round, and its slowest step as a shade."""
    with style():
        drawn = new_figure(4.2)
        axis = drawn.subplots()
        for (name, figure), colour in zip(figures.items(), COLOURS, strict=False):
            rounds = [values for values in rounds_ms(figure) if len(values)]
            place = (np.arange(len(rounds)) + 0.5) / max(1, len(rounds))
            median = np.array([np.median(values) for values in rounds])
            slowest = np.array([values.max() for values in rounds])
            axis.fill_between(place, median, slowest, color=colour, alpha=0.14, linewidth=0)
            axis.plot(place, median, color=colour, linewidth=1.5, label=_words(name))
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(_plain)
        axis.set_xlim(0, 1)
        axis.grid(axis="y")
        axis.set_xlabel("share of the run; figures of one round stand above each other")
        axis.set_ylabel("ms")
        axis.set_title("Over time: median of a round (line) up to its slowest step (shade)")
        axis.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=9)
    return drawn


def waterfall(pieces: Sequence[Mapping[str, Any]], title: str) -> Any:
    """Pieces of a hop's time in order, each beginning where the one before ended."""
    with style():
        drawn = new_figure(1.2 + 0.34 * len(pieces))
        axis = drawn.subplots()
        starts = np.cumsum([0.0, *(piece["ms"] for piece in pieces)])
        total = float(starts[-1])
        for row, piece in enumerate(pieces):
            colour = PART_COLOURS.get(piece["part"], LIGHT["waiting"])
            axis.barh(row, piece["ms"], left=starts[row], color=colour, height=0.64)
            inside = starts[row + 1] < 0.85 * total
            axis.annotate(
                f"{piece['ms']:.2f}",
                (starts[row + 1] if inside else starts[row], row),
                (4 if inside else -4, 0),
                textcoords="offset points",
                va="center",
                ha="left" if inside else "right",
                fontsize=9,
            )
        axis.set_yticks(range(len(pieces)), [_words(piece["name"]) for piece in pieces])
        axis.invert_yaxis()
        axis.set_xlim(0, max(total, 1e-6) * 1.02)
        axis.grid(axis="x")
        axis.set_axisbelow(True)
        axis.set_xlabel("ms")
        axis.set_title(f"{title}: {total:.2f} ms")
        _legend(axis, [piece["part"] for piece in pieces])
    return drawn


def cost(rows: Sequence[Mapping[str, Any]], fit: Mapping[str, float]) -> Any:
    """Cost of the network against its work, every size, with the fitted line."""
    with style():
        drawn = new_figure(4.2)
        axis = drawn.subplots()
        work = np.array([row["network_mmacs"] for row in rows])
        ms = np.array([row["encoder_p50_ms"] + row["decoder_p50_ms"] for row in rows])
        axis.plot(work, ms, "o", color=COLOURS[0], label="encoder and decoder, p50")
        if fit:
            ends = np.array([work.min(), work.max()])
            line = fit["rest_ms"] + fit["slope_ms"] * ends
            axis.plot(ends, line, color=COLOURS[1], label=f"{fit['slope_ms']:.4f} ms a million")
        axis.grid()
        axis.set_xlabel("million multiply-accumulates a hop")
        axis.set_ylabel("ms")
        axis.set_title("Cost against work")
        axis.legend(frameon=False, fontsize=9)
    return drawn


def _legend(axis: Any, parts: Sequence[str]) -> None:
    for part in dict.fromkeys(parts):
        axis.barh(0, 0, color=PART_COLOURS.get(part, LIGHT["waiting"]), label=part)
    axis.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=9)


def _denser_towards_the_end(count: int) -> Any:
    if count == 0:
        return np.zeros(0, np.int64)
    from_end = np.unique(np.geomspace(1, count, _POINTS).astype(np.int64))
    return (count - from_end)[::-1]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: float, _: Any) -> str:
    return f"{value:g}"
