"""What every measuring verb is told about its output, and does with its document at the end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.files import new_file, refuse_busy
from realtime.plain import plain
from tools.bench.document import Document


def add_output(parser: argparse.ArgumentParser) -> None:
    """The options `--json`, `--html`, `--overwrite` and `--seed`."""
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument("--json", type=Path, default=None, help="write every value here")
    parser.add_argument("--html", type=Path, default=None, help="write a page with plots here")
    parser.add_argument("--overwrite", action="store_true", help="replace JSON and page")
    parser.add_argument("--seed", type=int, default=0, help="of inputs, weights and order")


def refuse_taken(args: argparse.Namespace) -> None:
    """Refuse outputs that exist, before anything is measured.

    Raises
    ------
    BusyOutputError
        If one does, and `--overwrite` was not given.
    """
    for path in (args.json, args.html):
        if path is not None:
            refuse_busy(path, args.overwrite)


def asked(args: argparse.Namespace) -> dict[str, Any]:
    """The options of a run, but for those about its output."""
    left_out = ("run", "json", "html", "overwrite", "debug", "verb", "measured", "bundle")
    return {name: value for name, value in vars(args).items() if name not in left_out}


def deliver(found: Document, args: argparse.Namespace) -> None:
    """Print the document as a table, and write what was asked for."""
    print(as_text(found))
    if args.json:
        with new_file(args.json, args.overwrite) as partial:
            partial.write_text(json.dumps(plain(found), default=str), encoding="utf-8")
    if args.html:
        from tools.bench.page import write_page

        write_page(args.html, found, args.overwrite)


def as_text(found: Document) -> str:
    """The figures as a table, with the machine above and what follows from them below."""
    return "\n".join(
        [
            _head(found),
            *([table(found["figures"])] if found["figures"] else []),
            *_late(found.get("late", {})),
            *_ratios(found.get("ratios", {})),
            *found.get("notes", ()),
        ]
    )


def _head(found: Document) -> str:
    machine = found["environment"]
    loads = f"load {machine['load'][0]:.1f} -> {machine.get('load_after', machine['load'])[0]:.1f}"
    return f"bench {found['kind']}: {machine['cpu']}, {machine['cores']} cores, {loads}"


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Figures as aligned text, in ms."""
    columns = {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99", "p999_ms": "p99.9"}
    columns["max_ms"] = "max"
    wide = max([12, *map(len, figures)]) + 1
    head = f"{'ms':<{wide}}" + "".join(f"{name:>10}" for name in columns.values()) + f"{'n':>9}"
    rows = [
        f"{name:<{wide}}"
        + "".join(f"{figure[column]:10.3f}" for column in columns)
        + f"{figure['count']:9d}"
        for name, figure in figures.items()
        if figure["count"]
    ]
    return "\n".join([head, *rows])


def _late(late: Mapping[str, Mapping[str, list[int]]]) -> list[str]:
    told = [f"{n} {sum(c['late'])} of {sum(c['hops'])}" for n, c in late.items()]
    return [f"late hops: {', '.join(told)}"] if told else []


def _ratios(ratios: Mapping[str, float]) -> list[str]:
    return ["ratios of p50:"] * bool(ratios) + [f"  {n} {v:.2f}" for n, v in ratios.items()]


def say(line: str) -> None:
    """How far a run is, on standard error."""
    print(line, file=sys.stderr, flush=True)
