"""Matplotlib figures as inline SVG that follows the page: its fonts, its light or dark colours.

A figure drawn with the colours of `LIGHT` is readable by itself (saved to a file); inside a page
each of them becomes a CSS variable, which the page sets for either scheme.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

from models.errors import need

LIGHT = {
    "ink": "#1d232a",
    "muted": "#5b6672",
    "grid": "#d5dae0",
    "alarm": "#c01f37",
    "transport": "#71808f",
    "waiting": "#b4bcc6",
    "front_end": "#2f6eb5",
    "encoder": "#0d8a72",
    "decoder": "#c2560f",
    "vocoder": "#8a4cab",
    "limiter": "#a8326e",
    "hop_compute": "#1d232b",
    "playout": "#a87b12",
    "end_to_end": "#b02a59",
}
DARK = {
    "ink": "#e6eaee",
    "muted": "#a3aeba",
    "grid": "#39424c",
    "alarm": "#ff6b7d",
    "transport": "#9aa9b8",
    "waiting": "#5a6673",
    "front_end": "#6fadf2",
    "encoder": "#3fc8aa",
    "decoder": "#f38f4d",
    "vocoder": "#c891e6",
    "limiter": "#ef88bb",
    "hop_compute": "#f4f6f8",
    "playout": "#dfb64f",
    "end_to_end": "#f37ba4",
}
WIDTH_IN = 10.0


def new_figure(height_in: float) -> Any:
    """An empty figure of the page's width.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figure = need("matplotlib.figure", "report").Figure
    return figure(figsize=(WIDTH_IN, height_in), layout="constrained", dpi=120)


def style() -> Any:
    """A context that draws with the page's colours; wrap the making of every figure in it."""
    ink, muted = LIGHT["ink"], LIGHT["muted"]
    return need("matplotlib", "report").rc_context(
        {
            "font.size": 10,
            "font.family": "sans-serif",
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.edgecolor": muted,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.facecolor": "none",
            "figure.facecolor": "none",
            "savefig.facecolor": "none",
            "xtick.color": muted,
            "ytick.color": muted,
            "xtick.labelcolor": ink,
            "ytick.labelcolor": ink,
            "grid.color": LIGHT["grid"],
            "grid.linewidth": 0.8,
        }
    )


def inline_svg(figure: Any, name: str, description: str) -> str:
    """The figure as an `<svg>` element.

    Parameters
    ----------
    figure : a matplotlib figure.
    name : unique in the page; ids are prefixed with it, since a page holds several figures.
    description : what a reader who cannot see it should know.
    """
    raw = io.StringIO()
    with need("matplotlib", "report").rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(raw, format="svg", metadata={"Date": None, "Creator": None})
    # Nothing before the element itself, and no metadata: its licence links are external addresses.
    body = re.sub(r"<metadata>.*?</metadata>", "", raw.getvalue(), flags=re.DOTALL)
    body = body[body.index("<svg") :]
    head, rest = body.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    rest = re.sub(r' id="', f' id="{name}-', rest)
    rest = rest.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    for key, colour in LIGHT.items():
        rest = rest.replace(colour, f"var(--{key.replace('_', '-')})")
    return f'{head} role="img" aria-label="{escape(description)}">{rest}'


def variables(colours: dict[str, str]) -> str:
    """The colours as CSS declarations."""
    return "".join(f"--{key.replace('_', '-')}:{value};" for key, value in colours.items())
