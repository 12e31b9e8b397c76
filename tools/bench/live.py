"""`bench live`: the true end to end, from an outlet in another process to captured sound.

Outlet -> LSL -> the real service -> a sound server of its own -> captured, and every decoded hop
found again in what was captured by correlation. An end to end runs from a hop's last sample being
taken, by the outlet's own clock, to its first sound; no stage's own stamp is believed for it.
`--search` looks for the smallest playout delay with which the sound stays whole.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.bundle import GRAPHS, Bundle, load_bundle
from models.errors import SettingsError
from models.hops import HOP
from tools.bench.document import Document, Figure, document
from tools.bench.machine import watched
from tools.bench.output import add_output, asked, deliver, refuse_taken, say
from tools.bench.parts import algorithmic, told
from tools.bench.rounds import Times
from tools.bench.servers import JACK, PULSE
from tools.bench.smallest import smallest

if TYPE_CHECKING:
    from tools.bench.live_run import LivePlan, LiveRun

# Rounds of a run that `bench compare` may shuffle: hops within one depend on each other.
ROUND_HOPS = 200
LOWEST_MS, STEP_MS = 15.0, 2.5


def add_parser(subparsers: Any) -> None:
    """Add `bench live`."""
    parser = subparsers.add_parser(
        "live", help="outlet to captured sound: the true end to end", description=__doc__
    )
    parser.add_argument("bundle", type=Path, help="bundle folder")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run")
    parser.add_argument("--bursts", type=int, nargs="+", default=[1, 16], help="samples a packet")
    parser.add_argument(
        "--servers", nargs="+", choices=(JACK, PULSE), default=[JACK, PULSE], help="to play into"
    )
    parser.add_argument("--target-ms", type=float, default=45.0, help="playout delay")
    parser.add_argument(
        "--device-latency-ms", type=float, default=20.0, help="buffer asked of the sound device"
    )
    parser.add_argument("--period", type=int, default=1024, help="frames of JACK's period, 48 kHz")
    parser.add_argument("--search", action="store_true", help="find the smallest playout delay")
    parser.add_argument("--trial-s", type=float, default=20.0, help="--search: seconds of a trial")
    parser.add_argument("--recording", type=Path, default=None, help="to stream; none: noise")
    parser.add_argument("--vocoder", default="phase", help="as `seegvox live` has it")
    parser.add_argument("--weights", choices=tuple(GRAPHS), default=None, help="none: its own")
    parser.add_argument(
        "--no-marker", action="store_true", help="find hops by what was decoded alone"
    )
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; prints a table."""
    from tools.bench.live_run import AROUND_S, END_S, SETTLE_S

    least = SETTLE_S + END_S + 5
    if min(args.seconds, args.trial_s) < least or min(args.bursts) < 1:
        raise SettingsError(
            f"{args.seconds:g} s, trials of {args.trial_s:g} s, bursts of {args.bursts}",
            f"at least {least:g} s, and a sample a packet",
            f"the first {SETTLE_S:g} s and the last {END_S:g} s do not count",
        )
    refuse_taken(args)
    bundle = load_bundle(args.bundle)
    say(f"each run takes its seconds and up to {AROUND_S:g} more")
    deliver(measure(bundle, args), args)
    return 0


def measure(bundle: Bundle, args: argparse.Namespace) -> Document:
    """The document of runs into every server with every packet size."""
    from tools.bench.live_run import LivePlan

    runs: dict[str, LiveRun] = {}
    searched: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="seegvox-bench-") as name, watched() as machine:
        recording = _recording(args, bundle, Path(name))
        for server, burst in product(args.servers, args.bursts):
            plan = LivePlan(
                server=server,
                burst=burst,
                seconds=args.seconds,
                target_ms=args.target_ms,
                device_latency_ms=args.device_latency_ms,
                period=args.period,
                vocoder=args.vocoder,
                weights=args.weights,
                marked=not args.no_marker,
                seed=args.seed,
            )
            key = f"{server}.burst_{burst}"
            if args.search:
                searched[key] = found = _search(bundle, recording, plan, args)
                plan = replace(plan, target_ms=found["smallest_ms"] or args.target_ms)
            runs[key] = _try(bundle, recording, plan)
    figures: dict[str, Figure] = {}
    for key, run in runs.items():
        figures |= _figures(key, run)
    found_document = document("live", asked(args), figures, machine, bundle)
    found_document["runs"] = {key: run.told() for key, run in runs.items()}
    found_document["granted"] = {key: run.granted for key, run in runs.items()}
    found_document["late"] = {key: _late(run) for key, run in runs.items()}
    found_document["paths"] = {key: _path(run) for key, run in runs.items()}
    found_document["search"] = searched
    found_document["notes"] = list(_notes(found_document))
    return found_document


def _recording(args: argparse.Namespace, bundle: Bundle, folder: Path) -> Path:
    from tools.amplifier import save_array
    from tools.bench.transport import noise

    if args.recording is None:
        return noise(folder, bundle, args.seed)
    from tools.soak import _seeg

    # Whatever format it has: in the montage's order, in memory.
    seeg = _seeg(args.recording, bundle)
    save_array(folder / "recording.npy", seeg, bundle.spec.fs_hz, bundle.spec.contacts)
    return folder / "recording.npy"


def _try(bundle: Bundle, recording: Path, plan: LivePlan) -> LiveRun:
    from tools.bench.live_run import live_run

    say(f"{plan.server}, bursts of {plan.burst}, playout {plan.target_ms:g} ms: {plan.seconds:g} s")
    run = live_run(bundle, recording, plan)
    whole = run.end_to_end_ms[np.isfinite(run.end_to_end_ms)]
    middle = f"end to end p50 {np.median(whole):.1f} ms" if len(whole) else "nothing was found"
    say(f"  {middle}; {len(run.broken)} breaks, {int(run.late.sum())} late of {len(run.score)}")
    return run


def _search(
    bundle: Bundle, recording: Path, plan: LivePlan, args: argparse.Namespace
) -> dict[str, Any]:
    """The smallest playout delay that holds, with every trial."""
    trials: list[dict[str, Any]] = []

    def whole(target_ms: float) -> bool:
        run = _try(bundle, recording, replace(plan, target_ms=target_ms, seconds=args.trial_s))
        trials.append({**run.told(), "whole": run.stable})
        return bool(run.stable)

    found = smallest(whole, LOWEST_MS, max(args.target_ms, LOWEST_MS + STEP_MS), STEP_MS)
    return {"smallest_ms": found, "step_ms": STEP_MS, "lowest_ms": LOWEST_MS, "trials": trials}


# --- figures --------------------------------------------------------------------------------------


def _figures(key: str, run: LiveRun) -> dict[str, Figure]:
    from tools.bench.waterfall import PIECES

    parts = {name: part for name, part, _ in PIECES.values()}
    own = [ms for name, ms in run.pieces.items() if parts[name] == "compute"]
    compute: Times = np.sum(np.stack(own), axis=0)
    whole = {
        "end_to_end": (run.end_to_end_ms, "last sample taken to first sound", "total"),
        "pushed_to_heard": (run.pushed_to_heard_ms, "packet pushed to first sound", "total"),
        "hop_compute": (compute, "samples available to sound handed over", "compute"),
        "timer": (run.machine_ms, "how late a bare timer loop woke beside it", "machine"),
    }
    pieces = {n: (ms, n.replace("_", " "), parts[n]) for n, ms in run.pieces.items()}
    return {
        f"{key}.{name}": Figure(_rounds(values), what, part)
        for name, (values, what, part) in {**whole, **pieces}.items()
    }


def _rounds(values: Times) -> list[Times]:
    return np.array_split(values, max(1, len(values) // ROUND_HOPS))


def _late(run: LiveRun) -> dict[str, list[int]]:
    rounds = np.array_split(run.late, max(1, len(run.late) // ROUND_HOPS))
    return {
        "late": [int(part.sum()) for part in rounds],
        "hops": [len(part) for part in rounds],
    }


def _path(run: LiveRun) -> dict[str, Any]:
    from tools.bench.waterfall import mean_pieces, one_hop

    found = told(
        mean_pieces(run.pieces),
        algorithmic(run.lookahead_ms),
        "means over all hops that were found",
    )
    return {**found, "one_hop": one_hop(run.pieces)}


def _notes(found: Document) -> Iterator[str]:
    for key, run in found["runs"].items():
        yield (
            f"{key}: {run['found']} of {run['hops']} hops found (correlation p50 "
            f"{run['correlation_p50']}), {run['breaks']} breaks, {run['jack_xruns']} xruns; "
            f"playout {run['target_ms']:g} ms into {run['device']}"
        )
        yield (
            f"  playout as captured {run['playout_p50_ms']} ms (p50), as the service states it "
            f"{run['stated_playout_p50_ms']} ms"
        )
        yield from (f"  {line}" for line in found["paths"][key]["says"])
    for key, search in found["search"].items():
        yield f"{key}: {_smallest(search)}"
    hop_ms = 1e3 * float(HOP)
    yield f"A hop is late if handed over more than {hop_ms:g} ms after its samples were available."


def _smallest(search: dict[str, Any]) -> str:
    if search["smallest_ms"] is None:
        return "no playout delay that was tried kept the sound whole"
    if search["smallest_ms"] <= search["lowest_ms"]:
        return f"the sound is whole at {search['lowest_ms']:g} ms, the least that can be set"
    below = search["smallest_ms"] - search["step_ms"]
    failed = [t for t in search["trials"] if not t["whole"] and t["target_ms"] == below]
    why = ", ".join(
        f"{sum(t[name] for t in failed)} {name}" for name in ("underruns", "trims", "jack_xruns")
    )
    return f"smallest playout delay {search['smallest_ms']:g} ms; at {below:g} ms: {why}"
