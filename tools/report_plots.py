"""The figures of a report: mel spectrograms and latency, for a live run or a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.hops import HOP
from models.mel import BANDS, FMAX_HZ, hz_to_mel, mel_to_hz
from models.streaming import Floats
from tools.report_svg import LIGHT, new_figure, style

Times = NDArray[np.float64]

LIMIT_MS = 1e3 * float(HOP)
COMPUTE = ("front_end", "encoder", "decoder", "vocoder", "limiter")
_WINDOWS = 240
_LABELLED_HZ = (100, 500, 1000, 2000, 4000, 7500)
# Shares of hops that are slower; a run resolves no less than one hop in all of its hops.
_SMALLEST_SHARE = 1e-6


def words(stage: str) -> str:
    """A stage's name as it is read."""
    return stage.replace("_", " ")


def band_centres_hz() -> Times:
    """Centre frequency of each mel band, Hz, `(80,)`."""
    return mel_to_hz(np.linspace(0.0, hz_to_mel(np.array(FMAX_HZ)), BANDS + 2))[1:-1]


# --- spectrograms -------------------------------------------------------------------------------


def mel_figure(panels: Mapping[str, Floats], start_s: float = 0.0) -> Any:
    """Mel spectrograms one above the other, on one time axis and one colour scale.

    Parameters
    ----------
    panels : title to log-mel `(hops, 80)`, one frame per 15 ms.
    start_s : time of the first frame, s.
    """
    with style():
        figure = new_figure(0.7 + 1.9 * len(panels))
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        values = np.concatenate([mel[np.isfinite(mel)] for mel in panels.values()])
        low, high = np.percentile(values, [1, 99.8]) if len(values) else (-11.5, 0.0)
        for axis, (title, mel) in zip(axes, panels.items(), strict=True):
            image = _draw_mel(axis, title, mel, start_s, (low, max(high, low + 1)))
        axes[-1].set_xlabel("time (s)")
        bar = figure.colorbar(image, ax=list(axes), pad=0.01, fraction=0.025)
        bar.set_label("ln amplitude")
        bar.outline.set_visible(False)
    return figure


def _draw_mel(
    axis: Any, title: str, mel: Floats, start_s: float, limits: tuple[float, float]
) -> Any:
    stop_s = start_s + len(mel) * float(HOP)
    image = axis.imshow(
        mel.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=limits[0],
        vmax=limits[1],
        extent=(start_s, stop_s, -0.5, BANDS - 0.5),
    )
    centres = band_centres_hz()
    bands = [int(np.argmin(np.abs(centres - hz))) for hz in _LABELLED_HZ]
    axis.set_yticks(bands, [f"{centres[band]:.0f}" for band in bands], fontsize=8)
    axis.set_ylabel("band centre (Hz)")
    axis.set_title(title)
    return image


# --- latency ------------------------------------------------------------------------------------


def latency_figure(
    stages_ms: Mapping[str, Times], limit_ms: float = LIMIT_MS, hop_s: float = float(HOP)
) -> Any:
    """Latency of every stage over time, and how often each is exceeded.

    Parameters
    ----------
    stages_ms : stage, named as in `realtime.latency`, to latency per hop, ms; NaN where unknown.
        Stages without any are left out.
    limit_ms : hop compute beyond this is late; drawn as a line.
    hop_s : time between hops, s.
    """
    known = {name: ms for name, ms in stages_ms.items() if np.isfinite(ms).any()}
    with style():
        figure = new_figure(8.2)
        above, below = figure.subplots(2, 1)
        _draw_over_time(above, known, hop_s, limit_ms)
        above.axhline(limit_ms, color=LIGHT["alarm"], linestyle="--", linewidth=1.2)
        _draw_exceedance(below, known, limit_ms)
        figure.get_layout_engine().set(h_pad=0.14)
    return figure


def _draw_over_time(axis: Any, stages: Mapping[str, Times], hop_s: float, limit_ms: float) -> None:
    ends: dict[str, float] = {f"late over {limit_ms:g} ms": limit_ms}
    stop_s = 0.0
    for name, ms in stages.items():
        time_s, median, top = _windows(ms, hop_s)
        colour, wide = LIGHT[name], name == "hop_compute"
        axis.fill_between(time_s, median, top, color=colour, alpha=0.16, linewidth=0)
        axis.plot(time_s, median, color=colour, linewidth=2.2 if wide else 1.4)
        ends[name] = float(median[np.isfinite(median)][-1])
        stop_s = max(stop_s, len(ms) * hop_s)
    axis.set_yscale("log")
    _plain_ticks(axis.yaxis)
    axis.set_xlim(0, max(stop_s, hop_s))
    axis.grid(axis="y")
    axis.set_xlabel("time (s)")
    axis.set_ylabel("latency (ms)")
    axis.set_title("Latency over time: median (line) up to the slowest hop (shade) of each window")
    _label_ends(axis, ends)


def _windows(ms: Times, hop_s: float) -> tuple[Times, Times, Times]:
    """Centre, median and maximum of equal windows over the run; NaN where nothing is known."""
    parts = np.array_split(ms, min(_WINDOWS, len(ms)))
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    time_s = np.array([(s + len(p) / 2) * hop_s for s, p in zip(starts, parts, strict=True)])
    finite = [part[np.isfinite(part)] for part in parts]
    median = np.array([np.median(part) if len(part) else np.nan for part in finite])
    top = np.array([part.max() if len(part) else np.nan for part in finite])
    return time_s, median, top


def _draw_exceedance(axis: Any, stages: Mapping[str, Times], limit_ms: float) -> None:
    hops = max((int(np.isfinite(ms).sum()) for ms in stages.values()), default=1)
    for name, ms in stages.items():
        slowest_last = np.sort(ms[np.isfinite(ms)])
        share = 1.0 - np.arange(len(slowest_last)) / len(slowest_last)
        keep = _log_spaced(len(slowest_last))
        axis.step(
            slowest_last[keep],
            share[keep],
            where="pre",
            color=LIGHT[name],
            linewidth=2.2 if name == "hop_compute" else 1.4,
            label=words(name),
        )
    axis.axvline(
        limit_ms,
        color=LIGHT["alarm"],
        linestyle="--",
        linewidth=1.2,
        label=f"late over {limit_ms:g} ms",
    )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylim(max(0.7 / hops, _SMALLEST_SHARE), 1.3)
    shares = [s for s in (1.0, 0.5, 0.05, 0.01, 0.001) if s >= 0.7 / hops]
    names = {1.0: "all", 0.5: "half (p50)", 0.05: "5 % (p95)", 0.01: "1 % (p99)"}
    axis.set_yticks(shares, [names.get(s, "0.1 % (p99.9)") for s in shares])
    axis.minorticks_off()
    _plain_ticks(axis.xaxis)
    axis.grid()
    axis.set_xlabel("latency (ms)")
    axis.set_ylabel("share of hops this slow or slower")
    axis.set_title("Distribution: the further right a line ends, the worse the tail")
    axis.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=9)


def _log_spaced(count: int, most: int = 600) -> NDArray[np.int64]:
    """Indices into sorted values, ever denser towards the slowest, which are all kept."""
    from_end = np.unique(np.geomspace(1, count, most).astype(np.int64))
    return (count - from_end)[::-1]


def _plain_ticks(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{value:g}")


def _label_ends(axis: Any, ends: Mapping[str, float], apart: float = 0.062) -> None:
    """Name each line at its right end, pushed apart where lines lie close."""
    if not ends:
        return
    low, high = np.log10(axis.get_ylim())
    order = sorted(ends, key=lambda name: ends[name])
    at = [(np.log10(max(ends[name], 1e-6)) - low) / (high - low) for name in order]
    for name, place in zip(order, _spread(at, apart), strict=True):
        axis.text(
            1.008,
            place,
            words(name),
            color=LIGHT["alarm" if name.startswith("late") else name],
            transform=axis.transAxes,
            va="center",
            fontsize=9,
            fontweight="bold" if name == "hop_compute" else "normal",
        )


def _spread(at: Sequence[float], apart: float) -> list[float]:
    placed: list[float] = []
    for place in at:
        placed.append(max(place, placed[-1] + apart) if placed else place)
    excess = max(0.0, placed[-1] - 1.0)
    return [place - excess for place in placed]


# --- where the time of a hop goes ---------------------------------------------------------------


def median_path_ms(stages_ms: Mapping[str, Times]) -> dict[str, float]:
    """Medians of the pieces a hop's time is made of, in the order it passes them, ms.

    `waiting` is hop compute less the compute of its stages: standing behind the hops of the
    same packet, and the handing over.
    """
    whole = stages_ms["hop_compute"] - sum(stages_ms[name] for name in COMPUTE)
    pieces = {
        "transport": stages_ms.get("transport"),
        "waiting": whole,
        **{name: stages_ms[name] for name in COMPUTE},
        "playout": stages_ms.get("playout"),
    }
    return {
        name: max(0.0, float(np.nanmedian(ms)))
        for name, ms in pieces.items()
        if ms is not None and np.isfinite(ms).any()
    }


def path_figure(stages_ms: Mapping[str, Times]) -> Any:
    """The median hop as a staircase: from its last sample to the DAC, and the compute enlarged."""
    pieces = median_path_ms(stages_ms)
    inner = {name: ms for name, ms in pieces.items() if name not in ("transport", "playout")}
    with style():
        figure = new_figure(4.6)
        left, right = figure.subplots(1, 2)
        end = "the DAC" if "playout" in pieces else "playout"
        _draw_stairs(left, pieces, f"From the last sample to {end}")
        _draw_stairs(right, inner, "Hop compute, enlarged")
    return figure


def _draw_stairs(axis: Any, pieces: Mapping[str, float], title: str) -> None:
    starts = np.cumsum([0.0, *pieces.values()])
    total = float(starts[-1])
    for row, (name, ms) in enumerate(pieces.items()):
        axis.barh(row, ms, left=starts[row], color=LIGHT[name], height=0.62)
        inside = starts[row] + ms < 0.8 * total
        x = starts[row] + ms if inside else starts[row]
        axis.annotate(
            f"{ms:.2f}",
            (x, row),
            (4 if inside else -4, 0),
            textcoords="offset points",
            va="center",
            ha="left" if inside else "right",
            fontsize=9,
        )
    axis.set_yticks(range(len(pieces)), [words(name) for name in pieces])
    axis.invert_yaxis()
    axis.set_xlim(0, max(total, 1e-6) * 1.02)
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    axis.set_xlabel("ms")
    axis.set_title(f"{title}: {total:.1f} ms")
