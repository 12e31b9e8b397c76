"""A benchmark's document as one HTML file that needs nothing else and works offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.hops import HOP
from tools import report_page as html
from tools.bench import plots
from tools.bench.document import Document
from tools.report_svg import inline_svg

HOP_MS = 1e3 * float(HOP)
_PERCENTILES = {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99", "p999_ms": "p99.9"}
_ALT = "; the figures are in the table"
# A plot with more lines than colours cannot be read.
_LINES = len(plots.COLOURS)


def write_page(path: Path, found: Document, overwrite: bool = False) -> None:
    """Write `path`, whole or not at all.

    Raises
    ------
    BusyOutputError
        If it exists and `overwrite` is not set.
    MissingExtraError
        If matplotlib (the extra `report`) is not installed.
    """
    html.write(path, lambda: render(found), overwrite)


def render(found: Document) -> str:
    """The page as text."""
    return html.page(
        f"seegvox bench {found['kind']}",
        html.Markup(f"<header><h1>seegvox bench {html.markup(found['kind'])}</h1>"),
        html.paragraph(f"{found['made_utc']}, {_bundle(found)}.", "quiet"),
        html.Markup("</header>"),
        *_paths(found),
        *_groups(found),
        *_scale(found),
        *_table(found),
        *_notes(found),
        _machine(found),
    )


def _bundle(found: Document) -> str:
    bundle = found["bundle"]
    if bundle is None:
        return "random weights"
    return f"bundle {bundle['name']}, SHA-256 {bundle['sha256'][:16]}"


# --- what it is made of ---------------------------------------------------------------------------


def _paths(found: Document) -> Iterator[html.Markup]:
    paths = found.get("paths") or ({"": found["path"]} if "path" in found else {})
    for key, path in paths.items():
        named = f"{key}: " if key else ""
        title = f"{named}what is algorithmic and what is compute"
        yield html.section(title, *_path(key or "path", path))


def _path(key: str, path: Mapping[str, Any]) -> Iterator[html.Markup]:
    for line in path["says"]:
        yield html.paragraph(line)
    whole = plots.waterfall([*path["before"], *path["measured"]], "From a contact to its sound")
    yield html.figure(inline_svg(whole, _id(key), f"A hop's time in pieces{_ALT}"))
    hop = path.get("one_hop")
    if hop:
        parts = {piece["name"]: piece["part"] for piece in path["measured"]}
        pieces = [{"name": n, "ms": ms, "part": parts[n]} for n, ms in hop["pieces_ms"].items()]
        drawn = plots.waterfall(pieces, f"Hop {hop['hop']}, the median one, measured")
        yield html.figure(inline_svg(drawn, f"{_id(key)}-hop", f"One hop in pieces{_ALT}"))
    rows = [
        (piece["name"].replace("_", " "), f"{piece['ms']:.3f}", piece["part"], piece["remedy"])
        for piece in [*path["before"], *path["measured"]]
    ]
    head = ["piece", "ms", "part", "what would take it away"]
    yield html.table(f"The pieces: {path['how']}", head, rows, text=[2, 3])


# --- figures --------------------------------------------------------------------------------------


def _groups(found: Document) -> Iterator[html.Markup]:
    """Plots of the figures that share the first part of their name: pace, server or packet."""
    if "sizes" in found:
        return
    groups: dict[str, dict[str, Any]] = {}
    for name, figure in found["figures"].items():
        if figure["count"]:
            group, _, own = name.rpartition(".") if name.count(".") > 1 else name.partition(".")
            groups.setdefault(group, {})[own] = figure
    for group, figures in groups.items():
        shown = dict(list(figures.items())[:_LINES])
        parts = [
            html.figure(
                inline_svg(plots.distribution(shown, HOP_MS), f"{_id(group)}-d", f"D{_ALT}")
            ),
            html.figure(inline_svg(plots.over_time(shown), f"{_id(group)}-t", f"Over time{_ALT}")),
        ]
        yield html.section(group.replace("_", " "), *parts)


def _scale(found: Document) -> Iterator[html.Markup]:
    if "sizes" not in found:
        return
    drawn = plots.cost(found["sizes"], found["fits"]["network"])
    columns = ["name", "network_mmacs", "filtered_values", "front_end_p50_ms", "encoder_p50_ms"]
    columns += ["decoder_p50_ms", "p50_ms", "p99_ms"]
    rows = [
        [f"{row[c]:.3f}" if isinstance(row[c], float) else row[c] for c in columns]
        for row in found["sizes"]
    ]
    yield html.section(
        "Cost against work",
        html.figure(inline_svg(drawn, "cost", f"Cost against work{_ALT}")),
        html.table("Every size", [c.replace("_", " ") for c in columns], rows),
    )


def _table(found: Document) -> Iterator[html.Markup]:
    figures = {name: figure for name, figure in found["figures"].items() if figure["count"]}
    if not figures:
        return
    columns = {**_PERCENTILES, "max_ms": "max"}
    rows = [
        [
            name,
            *(f"{figure[c]:.3f}" for c in columns),
            figure["count"],
            figure["part"],
            figure["what"],
        ]
        for name, figure in figures.items()
    ]
    head = ["figure", *columns.values(), "n", "part", "what"]
    late = [(n, sum(c["late"]), sum(c["hops"])) for n, c in found.get("late", {}).items()]
    ratios = [(name, f"{value:.3f}") for name, value in found.get("ratios", {}).items()]
    body = [html.table("Every figure, ms", head, rows, text=[7, 8])]
    if late:
        body.append(html.table("Late hops", ["figure", "late", "of"], late))
    if ratios:
        body.append(html.table("Ratios of p50, within this run", ["of", "ratio"], ratios))
    yield html.section("Figures", *body)


def _notes(found: Document) -> Iterator[html.Markup]:
    if found.get("notes"):
        yield html.section("What follows", *(html.paragraph(line) for line in found["notes"]))


def _machine(found: Document) -> html.Markup:
    told = dict(found["environment"])
    versions, meanwhile = told.pop("versions", {}), told.pop("meanwhile", {})
    return html.section(
        "Machine, versions, options",
        html.table("The machine", ["what", "found"], _rows(told), text=[1]),
        html.table("While it measured", ["what", "count"], _rows(meanwhile)),
        html.table("Versions", ["package", "version"], _rows(versions), text=[1]),
        html.table("Asked for", ["option", "value"], _rows(found["asked"]), text=[1]),
    )


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _plain(value)) for name, value in values.items()]


def _plain(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list | tuple):
        return ", ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _id(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)
