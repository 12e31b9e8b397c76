"""`bench scale`: what a hop costs as contacts, rate, hidden size and hop grow, against its work.

Random weights, all sizes in the same rounds. A bundle's hop is 15 ms, since mel frames and vocoders
stand on it. For other hops what does not is measured, which is all that grows with them: front end,
encoder ticks and the decoder's tick, on a hop clock of that hop. A vocoder's cost is that of a
frame; `bench vocoder` measures it.

Work is in multiply-accumulates a hop for the network, and in filtered values a hop (contacts times
samples) for the front end. The slope is of a straight line through all sizes, least squares, with
what a hop costs without any work; the exponent is that of cost against the size along its axis.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import SettingsError, need
from models.spec import BundleSpec, Weights
from tools.bench.controls import Hiccup
from tools.bench.document import Document, Figure, document
from tools.bench.output import add_output, asked, deliver, refuse_taken, say
from tools.bench.pace import HICCUP, measuring, paces
from tools.bench.rounds import Contestant, Times, interleave
from tools.bench.sizes import AXES, Size, axis_of, sizes

STAGES = ("front_end", "encoder", "decoder")
CORNERS = ((1024, 2048), (1024, 4096), (512, 2048))
_ROUND = 20


def add_parser(subparsers: Any) -> None:
    """Add `bench scale`."""
    parser = subparsers.add_parser(
        "scale", help="cost against contacts, rate, hidden size and hop", description=__doc__
    )
    parser.add_argument("--hops", type=int, default=200, help="of each size")
    parser.add_argument("--pace", choices=("paced", "back_to_back"), default="paced", help="pace")
    parser.add_argument(
        "--weights", choices=("float32", "int8"), default="float32", help="precision"
    )
    for name, values in AXES.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, nargs="*", default=list(values), help=f"{name}, each")
    parser.add_argument("--no-corners", action="store_true", help="leave out 1024 at 2048 Hz, ...")
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; prints a table."""
    if args.hops < _ROUND:
        raise SettingsError(f"--hops {args.hops}", f"at least {_ROUND}", "ask for more")
    need("torch", "train")
    refuse_taken(args)
    deliver(measure(args), args)
    return 0


def measure(args: argparse.Namespace) -> Document:
    """The document of one run."""
    axes = {name: getattr(args, name) for name in AXES}
    weights: Weights = args.weights
    asked_for = sizes(axes, () if args.no_corners else CORNERS, weights)
    with tempfile.TemporaryDirectory(prefix="seegvox-bench-") as scratch:
        graphs = _Graphs(Path(scratch))
        made = [_Made(size, graphs, args.seed) for size in asked_for]
        rivals = {one.size.name: one.contestant() for one in made}
        rivals[HICCUP] = Hiccup().contestant()
        pace_s = paces(args.pace, 0.015)[args.pace]
        with measuring(pace_s) as machine:
            turns = interleave(
                rivals,
                args.hops,
                pace_s,
                args.seed,
                _ROUND,
                lambda done: say(f"{done} of {args.hops} hops of each size"),
            )
    figures = {}
    for one in made:
        rounds = turns[one.size.name]
        for stage in STAGES:
            values = [turn.parts[stage] for turn in rounds]
            figures[f"{one.size.name}.{stage}"] = Figure(values, stage.replace("_", " "), "compute")
        whole = [turn.spent for turn in rounds]
        figures[one.size.name] = Figure(whole, "front end and network of a hop", "compute")
    found = document("scale", asked(args), figures, machine)
    rows = [one.row(found["figures"]) for one in made]
    found["sizes"], found["fits"] = rows, fits(rows)
    found["notes"] = [*_say_fits(found["fits"]), *_say_corner(rows)]
    return found


class _Made:
    """Front end and network of one size, stepped on noise."""

    def __init__(self, size: Size, graphs: _Graphs, seed: int) -> None:
        from models.frontend import FrontEnd, Statistics
        from realtime.decoder import Decoder
        from realtime.encoder import Encoder
        from realtime.graph import OnnxGraph

        spec, clock = size.spec(), size.clock
        plain = FrontEnd(spec.front_end, spec.contacts, spec.fs_hz)
        channels = plain.channels
        statistics = Statistics(np.zeros(channels), np.ones(channels))
        self.size, self._clock = size, clock
        self._front_end = FrontEnd(spec.front_end, spec.contacts, spec.fs_hz, statistics)
        (encoder, decoder), (tick, hop) = graphs.of(size, spec, channels)
        self._encoder = Encoder(OnnxGraph(encoder))
        self._decoder = Decoder(OnnxGraph(decoder), clock)
        self.mmacs = 1e-6 * (tick * size.ticks_a_hop + hop)
        self.values = size.contacts * size.samples_a_hop
        longest = max(clock.end(k) - clock.end(k - 1) for k in range(1000))
        noise = np.random.default_rng(seed).normal(0, 30, (longest, size.contacts))
        self._noise = noise.astype(np.float32)
        self._rows: list[tuple[float, ...]] = []
        self._hop = 0

    def contestant(self) -> Contestant:
        """As a contestant, at its own hop."""
        hop_s = float(Fraction(self.size.hop_ms, 1000))
        return Contestant(self._step, parts=self._parts, pace_s=hop_s)

    def _step(self) -> None:
        from time import perf_counter as now

        k, clock = self._hop, self._clock
        self._hop += 1
        block = self._noise[: clock.end(k) - clock.end(k - 1)]
        begun = now()
        features = self._front_end.step(block)
        filtered = now()
        frames = self._encoder.step(features)
        encoded = now()
        self._decoder.step(frames)
        self._rows.append((begun, filtered, encoded, now()))

    def _parts(self) -> dict[str, Times]:
        stamps, self._rows = np.array(self._rows).reshape(-1, len(STAGES) + 1), []
        return dict(zip(STAGES, 1e3 * np.diff(stamps, axis=1).T, strict=True))

    def row(self, figures: dict[str, Any]) -> dict[str, Any]:
        """Size, work and cost."""
        size, name = self.size, self.size.name
        return {
            "name": name,
            **{axis: getattr(size, axis) for axis in AXES},
            "axes": axis_of(size),
            "network_mmacs": round(self.mmacs, 4),
            "filtered_values": round(self.values, 1),
            **{f"{stage}_p50_ms": figures[f"{name}.{stage}"]["p50_ms"] for stage in STAGES},
            "p50_ms": figures[name]["p50_ms"],
            "p99_ms": figures[name]["p99_ms"],
            "real_time": figures[name]["p99_ms"] < size.hop_ms,
        }


class _Graphs:
    """Exported graphs, once for all hops of a size, with the work of their steps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple[Path, Path], tuple[int, int]]] = {}

    def of(
        self, size: Size, spec: BundleSpec, channels: int
    ) -> tuple[tuple[Path, Path], tuple[int, int]]:
        """Encoder and decoder, and the multiply-accumulates of a tick and of a hop's frame."""
        from training.yardsticks_scale import export_random, step_macs

        name = replace(size, hop_ms=0).name
        if name not in self._known:
            say(f"exporting {size.name}")
            folder = self._folder / name
            folder.mkdir()
            graphs = export_random(spec, channels, folder, size.weights)
            self._known[name] = graphs, step_macs(spec, channels)
        return self._known[name]


# --- cost against work ----------------------------------------------------------------------------


def fits(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Straight lines of cost against work over all sizes, and an exponent along each axis."""
    network = [row["encoder_p50_ms"] + row["decoder_p50_ms"] for row in rows]
    found: dict[str, Any] = {
        "network": line([row["network_mmacs"] for row in rows], network),
        "front_end": line(
            [1e-3 * row["filtered_values"] for row in rows], [r["front_end_p50_ms"] for r in rows]
        ),
        "exponents": {},
    }
    for axis in AXES:
        along = [row for row in rows if axis in row["axes"]]
        if len({row[axis] for row in along}) > 1:
            x, y = ([row[key] for row in along] for key in (axis, "p50_ms"))
            found["exponents"][axis] = float(np.polyfit(np.log(x), np.log(y), 1)[0])
    return found


def line(work: Sequence[float], ms: Sequence[float]) -> dict[str, float]:
    """Least squares `ms = rest + slope * work`, and how much of the spread it explains."""
    x, y = np.array(work, np.float64), np.array(ms, np.float64)
    if len(x) < 2 or np.ptp(x) == 0:
        return {}
    slope, rest = np.polyfit(x, y, 1)
    left = y - rest - slope * x
    spread = float(((y - y.mean()) ** 2).sum())
    explained = 1.0 - float((left**2).sum()) / spread if spread else 1.0
    return {"slope_ms": float(slope), "rest_ms": float(rest), "r2": explained}


def _say_fits(found: dict[str, Any]) -> list[str]:
    units = {"network": "million multiply-accumulates", "front_end": "thousand filtered values"}
    said = [
        f"{name.replace('_', ' ')}: {fit['rest_ms']:.3f} ms a hop and {fit['slope_ms']:.4f} ms per "
        f"{units[name]} (r2 {fit['r2']:.2f})"
        for name, fit in found.items()
        if name in units and fit
    ]
    exponents = ", ".join(f"{axis} {power:.2f}" for axis, power in found["exponents"].items())
    return [*said, *([f"cost grows with the power of: {exponents}"] if exponents else [])]


def _say_corner(rows: Sequence[dict[str, Any]]) -> list[str]:
    slow = [row["name"] for row in rows if not row["real_time"]]
    if slow:
        return [f"not real time (p99 above the hop): {', '.join(slow)}"]
    return ["every size is real time: p99 below its hop"]
