"""The verb `bench`: the step and the whole hop, beside three yardsticks, in one run.

Rounds of each are interleaved, so that a noisy machine hits all alike. `step` is the network alone,
as the yardsticks are; the stages are timed within the hop. Paced at 15 ms by default:
back to back a step looks two to four times cheaper than it is, because its caches are warm.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, load_bundle
from models.errors import SettingsError, need
from models.files import new_file, refuse_busy
from models.streaming import Floats

if TYPE_CHECKING:
    from realtime.graph import StepGraph

Action = Callable[[], None]
ROUND = 100
STAGES = ("front_end", "encoder", "decoder", "vocoder", "limiter")


def add_parser(subparsers: Any) -> None:
    """Add the verb `bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="time the step and the whole hop beside three yardsticks",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="bundle folder")
    parser.add_argument("--hops", type=int, default=5000, help="hops to time")
    parser.add_argument("--back-to-back", action="store_true", help="no pause between hops")
    parser.add_argument("--vocoder", default="phase", help="phase or rtisi")
    parser.add_argument("--json", type=Path, default=None, help="write the figures here")
    parser.add_argument("--overwrite", action="store_true", help="replace the JSON")
    parser.add_argument(
        "--no-yardsticks", action="store_true", help="time the hop only (needs no torch)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; prints a table."""
    if args.hops < ROUND:
        raise SettingsError(f"--hops {args.hops}", f"at least {ROUND}", "ask for more")
    if args.json:
        refuse_busy(args.json, args.overwrite)
    bundle = load_bundle(args.bundle)
    hop_s = 0.0 if args.back_to_back else float(bundle.spec.hop_s)
    figures = measure(bundle, args.hops, hop_s, args.vocoder, not args.no_yardsticks)
    print(format_figures(figures))
    if args.json:
        with new_file(args.json, args.overwrite) as partial:
            partial.write_text(json.dumps(figures, indent=2))
    return 0


def measure(
    bundle: Bundle, hops: int, pace_s: float, vocoder: str = "phase", yardsticks: bool = True
) -> dict[str, Any]:
    """Time `hops` hops, one every `pace_s` seconds (0: back to back), with the yardsticks between.

    Returns
    -------
    `stages`, `yardsticks`, `ratios`, `late_hops`, `hops`, `pace`, `environment`.
    """
    from realtime.environment import environment
    from realtime.latency import summary_ms
    from realtime.scheduling import quiet_process

    timed, step = _HopTimer(bundle, vocoder), _step(bundle)
    with (
        tempfile.TemporaryDirectory(prefix="seegvox-bench-") as scratch,
        quiet_process(real_time=pace_s > 0) as granted,
    ):
        before = environment()
        others = _yardsticks(bundle, Path(scratch)) if yardsticks else {}
        # A fifth as many of each yardstick: enough for a p99, and the run stays short.
        shares = {"step": 1, **dict.fromkeys(others, 5)}
        spent: dict[str, list[float]] = {name: [] for name in shares}
        for start in range(0, hops, ROUND):
            count = min(ROUND, hops - start)
            timed.round(count, pace_s)
            for name, action in {"step": step, **others}.items():
                times = _paced(-(-count // shares[name]), pace_s)
                spent[name] += [_time(action) for _ in times]
    alone = {name: summary_ms(1e3 * np.array(values)) for name, values in spent.items()}
    stages = {name: summary_ms(values) for name, values in timed.stages_ms().items()}
    stages["step"] = alone.pop("step")
    return {
        "stages": stages,
        "yardsticks": alone,
        "ratios": {
            f"step_to_{name}": stages["step"]["p50_ms"] / stick["p50_ms"]
            for name, stick in alone.items()
        },
        "late_hops": timed.late(float(bundle.spec.hop_s)),
        "hops": hops,
        "pace": "paced" if pace_s else "back_to_back",
        "bundle": {"path": str(bundle.path), "sha256": bundle.hash},
        "vocoder": vocoder,
        "environment": {**before, **vars(granted), "load_after": environment()["load"]},
    }


class _HopTimer:
    """Hops of golden sEEG, repeated, through the whole path; times kept per hop."""

    def __init__(self, bundle: Bundle, vocoder: str) -> None:
        from realtime.pipeline import Pipeline

        self._pipeline = Pipeline.from_bundle(bundle, vocoder)
        self._pipeline.warm_up(len(bundle.spec.contacts))
        self._seeg: Floats = bundle.golden()["seeg"]
        self._rows: list[tuple[float, ...]] = []
        self._due: list[float] = []
        self._sample = 0

    def round(self, hops: int, pace_s: float) -> None:
        """Time some hops."""
        for due in _paced(hops, pace_s):
            block = self._next_hop()
            for hop in self._pipeline.hops(block):
                stamps = (hop.started, *(getattr(hop, stage) for stage in STAGES))
                self._rows.append(stamps)
                self._due.append(due)

    def _next_hop(self) -> Floats:
        clock, k = self._pipeline.clock, len(self._rows)
        index = np.arange(clock.end(k - 1), clock.end(k)) % len(self._seeg)
        return self._seeg[index]

    def stages_ms(self) -> dict[str, NDArray[np.float64]]:
        """Times per stage as they follow one another; `hop` is everything."""
        spans = 1e3 * np.diff(np.array(self._rows), axis=1)
        return {**dict(zip(STAGES, spans.T, strict=True)), "hop": spans.sum(axis=1)}

    def late(self, hop_s: float) -> int:
        """Hops finished later than one hop after they were due."""
        finished = np.array([row[-1] for row in self._rows])
        return int(np.sum(finished - np.array(self._due) > hop_s))


def _paced(count: int, pace_s: float) -> Iterator[float]:
    """Yield `count` times, each when it is due; a late one does not delay the next."""
    start = time.perf_counter()
    for k in range(count):
        due = start + k * pace_s if pace_s else time.perf_counter()
        while (left_s := due - time.perf_counter()) > 0:
            time.sleep(left_s)
        yield due


def _time(action: Action) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _yardsticks(bundle: Bundle, scratch: Path) -> dict[str, Action]:
    need("torch", "train")
    from training.yardsticks import Floor, eager_graphs, weight_count, window_graph

    spec, channels = bundle.spec, bundle.front_end().channels
    floor, window = Floor(weight_count(spec, channels)), window_graph(spec, channels, scratch)
    window.inputs["samples"][:] = np.random.default_rng(0).standard_normal(
        window.inputs["samples"].shape
    )
    return {
        "floor": _warmed(floor.run),
        "window": _warmed(window.run),
        "eager": _stepper(bundle, eager_graphs(spec, channels)),
    }


def _step(bundle: Bundle) -> Action:
    """The network's step alone, as the yardsticks are: encoder ticks and decoder tick of a hop."""
    from models.bundle import DECODER, ENCODER
    from realtime.graph import OnnxGraph

    graphs = OnnxGraph(bundle.path / ENCODER), OnnxGraph(bundle.path / DECODER)
    return _stepper(bundle, graphs)


def _stepper(bundle: Bundle, graphs: tuple[StepGraph, StepGraph]) -> Action:
    from realtime.decoder import Decoder
    from realtime.encoder import Encoder

    clock = bundle.spec.clock
    encoder, decoder = Encoder(graphs[0]), Decoder(graphs[1], clock)
    rng, hops = np.random.default_rng(0), iter(range(1 << 62))
    features = rng.standard_normal((clock.end(0) + 1, encoder.channels)).astype(np.float32)

    def step() -> None:
        k = next(hops)
        decoder.step(encoder.step(features[: clock.end(k) - clock.end(k - 1)]))

    return _warmed(step)


def _warmed(action: Action) -> Action:
    for _ in range(20):
        action()
    return action


def format_figures(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    from realtime.latency import table

    machine = figures["environment"]
    lines = [
        f"{figures['hops']} hops, {figures['pace'].replace('_', ' ')}, "
        f"{figures['late_hops']} late; {machine['cpu']}, {machine['cores']} cores, "
        f"load {machine['load'][0]:.1f} -> {machine['load_after'][0]:.1f}",
        table({**figures["stages"], **figures["yardsticks"]}),
    ]
    ratios = [f"{k.removeprefix('step_to_')} {v:.2f}" for k, v in figures["ratios"].items()]
    return "\n".join([*lines, *([f"step p50 to: {', '.join(ratios)}"] if ratios else [])])
