"""`bench hop`: the whole hop in this process, stage by stage, from microvolts to limited sound.

Golden sEEG of the bundle, repeated. Beside it, in the same rounds: a linear chain as published, a
matrix-vector product over as many weights as the network has, and what the machine does by itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import GRAPHS, Bundle, load_bundle
from models.hops import HOP
from models.spec import Weights
from models.streaming import Floats
from tools.bench.document import Document, Figure, document
from tools.bench.linear_chain import CHAIN, LinearChain
from tools.bench.network import FLOOR, YARDSTICKS, floor
from tools.bench.output import add_output, asked, deliver, refuse_taken
from tools.bench.pace import Turns, add_pace, check_hops, controls, late, run_paces, spent
from tools.bench.parts import in_process
from tools.bench.rounds import Contestant, Times

STAGES = ("front_end", "encoder", "decoder", "vocoder", "limiter")


def add_parser(subparsers: Any) -> None:
    """Add `bench hop`."""
    parser = subparsers.add_parser(
        "hop", help="the whole hop in this process, stage by stage", description=__doc__
    )
    parser.add_argument("bundle", type=Path, help="bundle folder")
    add_pace(parser, 5000)
    add_output(parser)
    parser.add_argument("--vocoder", default="phase", help="as `seegvox live` has it")
    parser.add_argument(
        "--weights", nargs="+", choices=tuple(GRAPHS), default=None, help="none: all it has"
    )
    parser.add_argument(
        "--no-yardsticks", action="store_true", help="the hop only (needs no torch)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; prints a table."""
    check_hops(args.hops)
    refuse_taken(args)
    deliver(measure(load_bundle(args.bundle), args), args)
    return 0


class HopTimer:
    """Hops of golden sEEG, repeated, through the whole path; times kept per stage."""

    def __init__(self, bundle: Bundle, vocoder: str, weights: Weights) -> None:
        from realtime.pipeline import Pipeline

        self._pipeline = Pipeline.from_bundle(bundle, vocoder, weights=weights)
        self._pipeline.warm_up(len(bundle.spec.contacts))
        self.lookahead_ms = 1e3 * float(self._pipeline.latency)
        self._seeg: Floats = bundle.golden()["seeg"]
        self._rows: list[tuple[float, ...]] = []
        self._hop = 0

    def contestant(self) -> Contestant:
        """As a contestant, with its stages as parts."""
        return Contestant(self._step, parts=self._parts)

    def _step(self) -> None:
        clock, k = self._pipeline.clock, self._hop
        self._hop += 1
        block = self._seeg[np.arange(clock.end(k - 1), clock.end(k)) % len(self._seeg)]
        for hop in self._pipeline.hops(block):
            self._rows.append((hop.started, *(getattr(hop, stage) for stage in STAGES)))

    def _parts(self) -> dict[str, Times]:
        stamps, self._rows = np.array(self._rows).reshape(-1, len(STAGES) + 1), []
        return dict(zip(STAGES, 1e3 * np.diff(stamps, axis=1).T, strict=True))


def measure(bundle: Bundle, args: argparse.Namespace) -> Document:
    """The document of one run."""
    kinds: list[Weights] = args.weights or [kind for kind in GRAPHS if bundle.has(kind)]
    lookahead_ms = [0.0]

    def rivals() -> Mapping[str, Contestant]:
        timers = {f"hop_{kind}": HopTimer(bundle, args.vocoder, kind) for kind in kinds}
        lookahead_ms[0] = next(iter(timers.values())).lookahead_ms
        found = {name: timer.contestant() for name, timer in timers.items()}
        if not args.no_yardsticks:
            found[FLOOR] = floor(bundle)
        chain = LinearChain(len(bundle.spec.contacts), bundle.spec.fs_hz, args.seed)
        return {**found, CHAIN: chain.contestant()}

    found, machine = run_paces(rivals, args, float(bundle.spec.hop_s))
    figures: dict[str, Figure] = {}
    for pace, turns in found.items():
        figures |= _figures(pace, turns)
    told = document("hop", asked(args), figures, machine, bundle)
    told["late"] = _late(found)
    told["path"] = in_process(told["figures"], f"hop_{kinds[0]}", lookahead_ms[0])
    told["notes"] = told["path"]["says"]
    return told


def _late(found: Mapping[str, Turns]) -> dict[str, dict[str, list[int]]]:
    return {
        f"{pace}.{name}": late(rounds, float(HOP))
        for pace, turns in found.items()
        if pace == "paced"
        for name, rounds in turns.items()
        if name.startswith("hop_")
    }


def _figures(pace: str, turns: Turns) -> dict[str, Figure]:
    figures = {}
    for name, rounds in turns.items():
        if name.startswith("hop_"):
            weights = name.removeprefix("hop_")
            for stage in STAGES:
                values = [turn.parts[stage] for turn in rounds]
                what = f"{stage.replace('_', ' ')}, {weights} weights"
                figures[f"{pace}.{name}.{stage}"] = Figure(values, what, "compute")
            what = f"whole hop, {weights} weights"
            figures[f"{pace}.{name}"] = Figure(spent(rounds), what, "compute")
        elif name == FLOOR:
            figures[f"{pace}.{FLOOR}"] = Figure(spent(rounds), YARDSTICKS[FLOOR], "yardstick")
        elif name == CHAIN:
            what = "10 ms of a linear chain as published (Angrick et al. 2021)"
            figures[f"{pace}.{CHAIN}"] = Figure(spent(rounds), what, "yardstick")
    return figures | controls(pace, turns)
