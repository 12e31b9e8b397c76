"""The verb `demo`: from a recording to a live voice, the whole path, on a simulated patient.

demo/recording/    the simulated patient, NWB with the truth beside it
demo/experiment/   what training left
demo/bundle/       the exported, proven, scored model
demo/run/          the log of the live run
demo/decoded.wav   what was decoded live        demo/true.wav   what was said
demo/report.html   spectrograms, latency, players, scores
demo/numbers.json  every figure
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import need

STEPS = 6


def add_parser(subparsers: Any) -> None:
    """Add the verb `demo`."""
    parser = subparsers.add_parser(
        "demo",
        help="train on a simulated patient, decode it live over LSL, play, report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dir", type=Path, default=Path("demo"), help="folder (default: demo)")
    parser.add_argument("--speech", type=Path, help="WAV or FLAC to speak (default: espeak-ng)")
    parser.add_argument("--minutes", type=float, default=7.0, help="of speech (default: 7)")
    parser.add_argument(
        "--gain",
        type=float,
        default=2.0,
        help="patient's gain (default: 2.0; 1.1 is a good real one)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything (default: 0)")
    parser.add_argument("--burst", type=int, default=16, help="samples per packet (default: 16)")
    parser.add_argument("--seconds", type=float, default=25.0, help="to decode live (default: 25)")
    parser.add_argument("--fresh", action="store_true", help="reuse nothing (default: reuse)")
    parser.set_defaults(run=run)


@dataclass
class _Progress:
    """Says which step runs, and how long each took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        print(f"[{len(self.seconds) + 1}/{STEPS}] {what}", flush=True)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 1)


def run(args: argparse.Namespace) -> int:
    """Do the main job; 0 if the speech-only score lies above its chance level."""
    for module in ("torch", "lightning", "onnxscript", "pynwb", "matplotlib"):
        need(module, "demo")
    from tools.demo_live import Finished, held_out, live_run, write_results
    from tools.demo_model import demo_bundle, demo_patient, print_scores

    progress, folder = _Progress(), args.dir
    folder.mkdir(parents=True, exist_ok=True)
    if args.fresh:
        _clear(folder)
    with progress.step("patient", f"simulated patient: {args.minutes:g} min, gain {args.gain:g}"):
        nwb = demo_patient(args, folder)
    with progress.step("train", "causal network: front end, training"):
        experiment = demo_bundle(args, folder, nwb).train()
    with progress.step("export", "bundle: export, proof, held-out scores"):
        made = demo_bundle(args, folder, nwb).export(experiment)
    above = print_scores(made.spec.scores)
    with progress.step("live", f"live: amplifier in another process, {args.seconds:g} s over LSL"):
        recording, part = held_out(folder, nwb)
        live = live_run(args, folder, nwb, made, part)
    with progress.step("truth", "the same part again, offline"):
        finished = Finished.of(made, live, recording, part)
    with progress.step("report", "report"):
        write_results(folder, finished, {"gain": args.gain, "seconds_taken": progress.seconds})
    _print_where(folder)
    if not above:
        print("the speech-only score is not above its chance level", file=sys.stderr)
    return 0 if above else 1


def _clear(folder: Path) -> None:
    for name in ("recording", "experiment", "bundle"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _print_where(folder: Path) -> None:
    for name, what in (
        ("report.html", "open this: spectrograms, latency, players"),
        ("decoded.wav", "what was decoded live"),
        ("true.wav", "what was said"),
        ("bundle", "the model: seegvox inspect, bench, live"),
        ("numbers.json", "every figure"),
    ):
        print(f"  {folder / name!s:<24} {what}")
