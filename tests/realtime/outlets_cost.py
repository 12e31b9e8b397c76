"""What the outlets cost the hop path: paced hops with and without, interleaved in one run.

    python -m tests.realtime.outlets_cost BUNDLE [--rounds 6] [--hops 800] [--no-listener]

`thread` is how `Outlets` does it; `direct` pushes from the hop path, for comparison; in `none` and
`direct` its thread does not run. Another process listens to every stream, as LabRecorder would.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

LISTEN = """
import sys, time, pylsl
inlets = [pylsl.StreamInlet(pylsl.resolve_byprop("source_id", s, 1, 20)[0]) for s in sys.argv[1:]]
for inlet in inlets:
    inlet.open_stream(10)
print("ready", flush=True)
while True:
    for inlet in inlets:
        inlet.pull_chunk(timeout=0.0, max_samples=16384)
    time.sleep(0.5)
"""
Give = Callable[[Any, float], None]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("bundle", type=Path)
    options.add_argument("--rounds", type=int, default=6)
    options.add_argument("--hops", type=int, default=800)
    options.add_argument("--no-listener", action="store_true")
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "lsl_api.cfg"
        config.write_text(
            f"[log]\nlevel=-2\n[multicast]\nResolveScope=machine\n[lab]\nSessionID=c{os.getpid()}\n"
        )
        os.environ["LSLAPICFG"] = str(config)
        report(measure(args))


def measure(args: argparse.Namespace) -> dict[str, list[tuple[list[float], list[float]]]]:
    """Hop times and times of the hand-over to the outlets, ms, of each mode and round."""
    import pylsl

    from models.bundle import load_bundle
    from realtime.outlets.describe import Source
    from realtime.outlets.outlets import Outlets
    from realtime.outlets.settings import OutletSettings
    from realtime.pipeline import Pipeline
    from realtime.scheduling import quiet_process

    bundle = load_bundle(args.bundle)
    contacts = len(bundle.spec.contacts)
    pipeline = Pipeline.from_bundle(bundle, now=pylsl.local_clock)
    pipeline.warm_up(contacts)
    noise = np.random.default_rng(0).normal(0, 30, (4096, contacts)).astype(np.float32)
    settings = OutletSettings(name=f"cost-{os.getpid()}")
    outlets = Outlets(settings, Source("cost", "", "", "", "", 0.0))
    ids = [] if args.no_listener else [settings.source_id(kind) for kind in settings.streams]
    modes = {
        "none": lambda hop, handed_over: None,
        "thread": lambda hop, handed_over: outlets.hop(hop, handed_over, 0.0, False),
        "direct": direct(outlets),
    }
    figures: dict[str, list[tuple[list[float], list[float]]]] = {name: [] for name in modes}
    with quiet_process() as granted, listening(ids):
        for round_ in range(args.rounds + 1):
            order = list(modes)[round_ % 3 :] + list(modes)[: round_ % 3]
            for name in order:
                with sending(outlets, name == "thread"):
                    taken = segment(pipeline, noise, modes[name], args.hops)
                if round_:
                    figures[name].append(taken)
    print(granted, outlets.facts, outlets.fault)
    return figures


def direct(outlets: Any) -> Give:
    """Push from the hop path, all but the filling of the telemetry."""
    lsl = outlets._lsl
    row = np.zeros(lsl["telemetry"].channel_count, np.float32)

    def give(hop: Any, handed_over: float) -> None:
        lsl["mel"].push_sample(hop.mel, hop.lsl_time)
        lsl["audio"].push_chunk(hop.audio, hop.lsl_time)
        lsl["telemetry"].push_sample(row, hop.lsl_time)

    return give


@contextmanager
def sending(outlets: Any, on: bool) -> Iterator[None]:
    """With the sending thread, or without."""
    if on:
        outlets._stop.clear()
        thread = threading.Thread(target=outlets._run)
        thread.start()
    yield
    if on:
        outlets._stop.set()
        thread.join()


def report(figures: dict[str, list[tuple[list[float], list[float]]]]) -> None:
    marks = [50, 95, 99, 99.9]
    percentiles = {
        name: np.array([np.percentile(whole, marks) for whole, _ in taken])
        for name, taken in figures.items()
    }
    for name, rows in percentiles.items():
        own = np.concatenate([part for _, part in figures[name]]) * 1e3
        print(f"{name:7} hop ms p50 p95 p99 p99.9 (medians of rounds)", np.median(rows, 0).round(3))
        print("        the hand-over itself, us p50 p99", np.percentile(own, [50, 99]).round(1))
    for name in ("thread", "direct"):
        ratios = percentiles[name] / percentiles["none"]
        print(f"{name} / none, p99 of each round {ratios[:, 2].round(2)}")
        print(
            f"{name} / none, median of rounds at p50 p95 p99 p99.9", np.median(ratios, 0).round(3)
        )


def segment(
    pipeline: Any, noise: np.ndarray, give: Give, hops: int
) -> tuple[list[float], list[float]]:
    """Hop times and the time of `give`, ms, at a hop's pace."""
    import pylsl

    whole, part = [], []
    start, place = pylsl.local_clock() + 0.05, 0
    for k in range(hops):
        due = start + k * 0.015
        time.sleep(max(0.0, due - pylsl.local_clock()))
        size = pipeline._end - pipeline.position
        block = noise[place : place + size]
        place = (place + size) % 4000
        begun = pylsl.local_clock()
        for hop in pipeline.hops(block, np.full(len(block), begun), begun):
            before = pylsl.local_clock()
            give(hop, before)
            done = pylsl.local_clock()
            whole.append(1e3 * (done - begun))
            part.append(1e3 * (done - before))
    return whole, part


@contextmanager
def listening(source_ids: list[str]) -> Iterator[None]:
    """A process that takes what these streams send."""
    if not source_ids:
        yield
        return
    command = [sys.executable, "-c", LISTEN, *source_ids]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield
    finally:
        child.kill()
        child.wait()


if __name__ == "__main__":
    main()
