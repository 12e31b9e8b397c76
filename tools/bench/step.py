"""`bench step`: the network alone, in each precision that the bundle has, beside its yardsticks.

The floor is one float32 matrix-vector product over as many weights: a step is bound by the
bandwidth at which weights come from memory. Every round has them all, in an order drawn anew.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.bundle import Bundle, load_bundle
from tools.bench.document import Document, Figure, document
from tools.bench.network import EAGER, FLOOR, WINDOW, YARDSTICKS, steps, yardsticks
from tools.bench.output import add_output, asked, deliver, refuse_taken
from tools.bench.pace import Turns, add_pace, check_hops, controls, late, run_paces, spent


def add_parser(subparsers: Any) -> None:
    """Add `bench step`."""
    parser = subparsers.add_parser(
        "step", help="the network alone, beside its yardsticks", description=__doc__
    )
    parser.add_argument("bundle", type=Path, help="bundle folder")
    add_pace(parser, 5000)
    add_output(parser)
    parser.add_argument(
        "--no-yardsticks", action="store_true", help="the step only (needs no torch)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; prints a table."""
    check_hops(args.hops)
    refuse_taken(args)
    deliver(measure(load_bundle(args.bundle), args), args)
    return 0


def measure(bundle: Bundle, args: argparse.Namespace) -> Document:
    """The document of one run."""
    hop_s = float(bundle.spec.hop_s)
    with tempfile.TemporaryDirectory(prefix="seegvox-bench-") as scratch:

        def rivals() -> Mapping[str, Any]:
            others = {} if args.no_yardsticks else yardsticks(bundle, Path(scratch), args.seed)
            return {**steps(bundle, args.seed), **others}

        found, machine = run_paces(rivals, args, hop_s)
    figures: dict[str, Figure] = {}
    for pace, turns in found.items():
        figures |= _figures(pace, turns)
    told = document("step", asked(args), figures, machine, bundle)
    told["ratios"] = ratios(told["figures"])
    told["late"] = {
        f"{pace}.{name}": late(turns[name], hop_s)
        for pace, turns in found.items()
        if pace == "paced"
        for name in turns
        if name.startswith("step_")
    }
    return told


def _figures(pace: str, turns: Turns) -> dict[str, Figure]:
    figures = {}
    for name, rounds in turns.items():
        if name.startswith("step_"):
            what = f"encoder ticks and decoder tick of a hop, {name.removeprefix('step_')} weights"
            figures[f"{pace}.{name}"] = Figure(spent(rounds), what, "compute")
        elif name in YARDSTICKS:
            figures[f"{pace}.{name}"] = Figure(spent(rounds), YARDSTICKS[name], "yardstick")
    return figures | controls(pace, turns)


def ratios(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """p50 of each step over each yardstick of the same pace, and over the other precision."""
    found = {}
    for name, figure in figures.items():
        pace, _, own = name.partition(".")
        if not own.startswith("step_"):
            continue
        others = [*(n for n in (FLOOR, WINDOW, EAGER)), "step_float32"]
        for other in others:
            stick = figures.get(f"{pace}.{other}")
            if stick is not None and other != own:
                found[f"{name} / {other}"] = figure["p50_ms"] / stick["p50_ms"]
    return found
