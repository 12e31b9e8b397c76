"""Figures of an evaluation's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.hops import HOP
from models.streaming import Floats
from tools.report_plots import band_centres_hz
from tools.report_svg import LIGHT, new_figure, style
from training.contamination import Contamination
from training.contribution import Contributions

Doubles = NDArray[np.float64]

# Colours that the page has names for, in the order in which predictions come.
_COLOURS = ("decoder", "front_end", "encoder", "vocoder", "limiter", "playout")
_QUIET = {
    "speech/silence oracle": "transport",
    "cue-locked average": "waiting",
    "mean spectrum": "grid",
}
_LABELLED_HZ = (100, 300, 500, 1000, 2000, 4000, 7500)
_MOST_CONTACTS = 40


def colour_of(name: str, names: Sequence[str]) -> str:
    """The colour of a prediction, the same in every figure of a page."""
    if name in _QUIET:
        return LIGHT[_QUIET[name]]
    others = [other for other in names if other not in _QUIET]
    return LIGHT[_COLOURS[others.index(name) % len(_COLOURS)]]


def bins_figure(everywhere: Mapping[str, Doubles], speech: Mapping[str, Doubles]) -> Any:
    """r per mel band `(80,)` of every prediction, over all frames and over speech frames."""
    hz, names = band_centres_hz(), list(everywhere)
    with style():
        figure = new_figure(6.4)
        axes = figure.subplots(2, 1, sharex=True)
        titles = ("r over time per band, all frames", "The same on speech frames only")
        for axis, title, found in zip(axes, titles, (everywhere, speech), strict=True):
            for name, r in found.items():
                dashed = "--" if name in _QUIET else "-"
                axis.plot(r, dashed, color=colour_of(name, names), linewidth=1.6, label=name)
            axis.axhline(0, color=LIGHT["muted"], linewidth=0.8)
            axis.grid(axis="y")
            axis.set_ylabel("r")
            axis.set_title(title)
        bands = [int(np.argmin(np.abs(hz - wanted))) for wanted in _LABELLED_HZ]
        axes[1].set_xticks(bands, [f"{hz[band]:.0f}" for band in bands])
        axes[1].set_xlabel("band centre (Hz)")
        axes[0].legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=9)
    return figure


def folds_figure(folds: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Any:
    """r of every fold, all frames and speech frames, by prediction; the bar is the mean."""
    names = list(folds)
    with style():
        figure = new_figure(1.4 + 0.42 * len(names))
        axes = figure.subplots(1, 2, sharey=True)
        for side, (axis, title) in enumerate(zip(axes, ("all", "speech"), strict=True)):
            for row, name in enumerate(names):
                values, colour = np.array(folds[name][side]), colour_of(name, names)
                axis.plot(values, np.full(len(values), row), "o", color=colour, alpha=0.75)
                axis.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color=colour, linewidth=2.5)
            axis.axvline(0, color=LIGHT["muted"], linewidth=0.8)
            axis.grid(axis="x")
            axis.set_xlabel("r")
            axis.set_title(f"Each fold's r, {title} frames")
        axes[0].set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
    return figure


def attention_figure(attention: Floats, start_s: float, causal: bool = True) -> Any:
    """Attention weights `(hops, places)`, oldest first: over time, and their mean by age.

    Parameters
    ----------
    start_s : time of the first hop.
    causal : places are ages then; else they are places in the decoded window.
    """
    places = attention.shape[1]
    ages = np.arange(places - 1, -1, -1)
    with style():
        figure = new_figure(3.4)
        image, mean = figure.subplots(1, 2, width_ratios=(4, 1), sharey=True)
        stop_s = start_s + len(attention) * float(HOP)
        drawn = image.imshow(
            attention.T,
            origin="upper",
            aspect="auto",
            cmap="magma",
            extent=(start_s, stop_s, ages[-1] - 0.5, ages[0] + 0.5),
        )
        image.set_xlabel("time (s)")
        image.set_ylabel("age of the encoder frame" if causal else "places before the window's end")
        image.set_title("Where each hop looks")
        mean.plot(attention.mean(axis=0), ages, color=LIGHT["decoder"])
        mean.set_xlabel("mean weight")
        mean.set_title("On average")
        mean.grid()
        figure.colorbar(drawn, ax=image, pad=0.01, fraction=0.03).outline.set_visible(False)
    return figure


def contamination_figure(found: Contamination) -> Any:
    """The contamination matrix with its diagonal, and the correlation at equal frequencies."""
    low, high = float(found.hz[0]), float(found.hz[-1])
    with style():
        figure = new_figure(3.8)
        left, right = figure.subplots(1, 2)
        image = left.imshow(
            found.matrix, origin="lower", cmap="magma", extent=(low, high, low, high)
        )
        left.plot([low, high], [low, high], color=LIGHT["grid"], linewidth=0.8, linestyle=":")
        left.set_xlabel("frequency in the sEEG (Hz)")
        left.set_ylabel("frequency of the sound (Hz)")
        left.set_title("Highest r over contacts")
        figure.colorbar(image, ax=left, pad=0.02).outline.set_visible(False)
        right.plot(found.hz, found.diagonal, color=LIGHT["alarm"], label="equal frequency")
        right.plot(found.hz, found.matrix.mean(axis=0), color=LIGHT["transport"], label="any other")
        right.grid()
        right.set_xlabel("Hz")
        right.set_ylabel("r")
        right.set_title("Sound stands out on the diagonal")
        right.legend(frameon=False)
    return figure


def contribution_figure(found: Contributions) -> Any:
    """Drop of r on speech and on all frames when a contact is lost, largest first."""
    order = sorted(found.contacts, key=lambda c: -abs(c.drop_speech))[:_MOST_CONTACTS]
    order = sorted(order, key=lambda c: -c.drop_speech)
    with style():
        figure = new_figure(1.2 + 0.19 * len(order))
        axes = figure.subplots(1, 2, sharey=True)
        rows = np.arange(len(order))
        for axis, title, drops in (
            (axes[0], "speech frames", [c.drop_speech for c in order]),
            (axes[1], "all frames", [c.drop for c in order]),
        ):
            axis.barh(rows, drops, color=LIGHT["decoder"], height=0.7)
            axis.axvline(0, color=LIGHT["muted"], linewidth=0.8)
            axis.grid(axis="x")
            axis.set_axisbelow(True)
            axis.set_xlabel("r lost with the contact")
            axis.set_title(f"Contribution, {title}")
        axes[0].set_yticks(rows, [c.contact for c in order], fontsize=8)
        axes[0].invert_yaxis()
        axes[0].set_ylim(len(order) - 0.4, -0.6)
    return figure
