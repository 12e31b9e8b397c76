"""Clock drift for real: an amplifier whose clock libfaketime skews, into a real sound server.

    python -m tests.realtime.drift_live BUNDLE --minutes 10 --ppm 400

The amplifier is a process of its own, the sound server a private one, the service the real one.
Only the difference of the two clocks matters to playout: 400 ppm stand for an amplifier at +200
and a sound card at -200. (Sound servers lose cycles under libfaketime; only the amplifier is.)
Playout's delay, fill and ratio are read four times a second, and every hop's from the record.
Exit 1 if the delay leaves its target by 5 ms, or anything runs dry or is trimmed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from models.bundle import load_bundle
from realtime.record.reading import read_run
from realtime.scheduling import HOP_PRIORITY, raise_priority
from realtime.service import Service
from realtime.settings import LiveSettings
from tests.sound_servers import SoundServer, end_process, jack_dummy, pulse_null
from tools.amplifier import save_array
from tools.vitals import Vitals

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
WITHIN_MS = 5.0
# The controller's own time constant is 20 s; what start-up left is gone after two of them.
SETTLED_S = 40.0
# Hops of one packet are handed over together and differ in delay by their place in it: what
# is held to 5 ms is the mean over 300 ms, several packets.
SMOOTH_HOPS = 20


@contextmanager
def clock_of_children(ppm: float) -> Iterator[None]:
    """Processes started within have clocks that run `ppm` fast."""
    if ppm == 0:
        yield
        return
    fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"+0 x{1 + ppm * 1e-6:.7f}"}
    if not FAKETIME.exists():
        raise SystemExit(f"{FAKETIME} is missing: apt-get install faketime")
    before = {name: os.environ.get(name) for name in fake}
    os.environ.update(fake)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@dataclass
class Samples:
    """Playout's own figures over time; `watch` runs in a thread until `stop`."""

    service: Service
    rows: list[tuple[float, ...]] = field(default_factory=list)
    vitals: Vitals = field(default_factory=Vitals)
    stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        # As the service's own threads: else one that holds the interpreter and waits for a core
        # would hold the hop up.
        raise_priority(HOP_PRIORITY)
        begin = time.monotonic()
        while not self.stop.wait(0.25):
            # What runs dry when the run is over is not the device's doing.
            playout = self.service.playout
            if playout is not None and self.service.state == "decoding":
                s = playout.stats()
                now = time.monotonic() - begin
                self.rows.append((now, s.delay_ms, s.fill_ms, s.ratio_ppm, s.underruns, s.trims))
                if len(self.rows) % 20 == 0:
                    self.vitals.read(now)


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run; its figures."""
    with ExitStack() as stack:
        start = jack_dummy if args.server == "jack" else pulse_null
        server: SoundServer = stack.enter_context(start(folder))
        _undisturbed(server.process.pid)
        os.environ.update(server.env)
        if args.server == "pulse":
            # A cold null sink stands still for 1.6 s; whoever listens keeps it warm.
            stack.enter_context(server.capture())
        source_id = uuid4().hex
        with clock_of_children(args.ppm):
            stack.enter_context(_amplifier(_source(args.bundle, folder), source_id, args.burst))
        service = Service(_settings(args, folder, server, source_id), _say)
        samples = Samples(service)
        thread = threading.Thread(target=samples.watch, daemon=True)
        thread.start()
        facts = service.run()
        samples.stop.set()
        thread.join()
        complaints = server.complaints()
    figures = _figures(args, folder, np.array(samples.rows), facts)
    return {**figures, "jack_xruns": complaints, "vitals": samples.vitals.summary()}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _undisturbed(pid: int) -> None:
    """SCHED_FIFO for what stands for hardware here: a sound card does not wait for a core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(PermissionError, ProcessLookupError):
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(40))


@contextmanager
def _amplifier(source: Path, source_id: str, burst: int) -> Iterator[None]:
    module = "tests.realtime.skewed_amplifier"
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(source), source_id, str(burst)],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline().startswith(b"ready"):
            raise SystemExit("the amplifier did not start")
        _undisturbed(process.pid)
        yield
    finally:
        end_process(process)


def _source(path: Path, folder: Path) -> Path:
    spec = load_bundle(path).spec
    rng = np.random.default_rng(0)
    seeg = rng.normal(0, 30, (int(60 * spec.fs_hz), len(spec.contacts))).astype(np.float32)
    save_array(folder / "amp.npy", seeg, spec.fs_hz, spec.contacts)
    return folder / "amp.npy"


def _settings(
    args: argparse.Namespace, folder: Path, server: SoundServer, source_id: str
) -> LiveSettings:
    return LiveSettings.model_validate(
        {
            "bundle": args.bundle,
            "out": folder / "run",
            "seconds": 60 * args.minutes,
            "stream": {"source_id": source_id, "timeout_s": 20},
            "playout": {"device": server.device, "target_ms": args.target_ms},
        }
    )


def _figures(
    args: argparse.Namespace, folder: Path, rows: np.ndarray, facts: dict[str, Any]
) -> dict[str, Any]:
    run = read_run(folder / "run")
    told = run.hops["handed_over"]
    known = np.isfinite(run.dac) & (told > told[0] + SETTLED_S)
    delay = 1e3 * (run.dac - told)[known]
    steady = np.convolve(delay, np.ones(SMOOTH_HOPS) / SMOOTH_HOPS, "valid")
    rows = rows[rows[:, 0] > rows[0, 0] + SETTLED_S]
    device_ms = float(facts["playout"]["device"].split(", ")[-1].split(" ms")[0])
    return {
        "asked": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "device": facts["playout"]["device"],
        "device_buffer_ms": device_ms,
        "target_ms": args.target_ms,
        "hops": facts["hops"],
        "late_hops": facts["late_hops"],
        "delay_ms": _spread(delay),
        "delay_mean_of_20_hops_ms": _spread(steady),
        "delay_filtered_ms": _spread(rows[:, 1]),
        "ring_fill_ms_by_minute": _by_minute(rows, 2),
        "delay_ms_by_minute": _by_minute(rows, 1),
        "ratio_ppm_by_minute": _by_minute(rows, 3),
        "ratio_ppm": _spread(rows[:, 3]),
        "underruns_settled": int(rows[-1, 4] - rows[0, 4]),
        "trims_settled": int(rows[-1, 5] - rows[0, 5]),
        "underruns": facts["playout"]["underruns"],
        "trims": facts["playout"]["trims"],
        "worst_from_target_ms": float(np.abs(steady - args.target_ms - device_ms).max()),
    }


def _spread(x: np.ndarray) -> dict[str, float]:
    names = ("min", "p1", "p50", "p99", "max")
    return dict(zip(names, np.percentile(x, [0, 1, 50, 99, 100]).round(3).tolist(), strict=True))


def _by_minute(rows: np.ndarray, column: int) -> list[float]:
    minute = ((rows[:, 0] - rows[0, 0]) // 60).astype(int)
    return [round(float(rows[minute == m, column].mean()), 2) for m in range(minute.max() + 1)]


def main() -> int:
    """Run `python -m tests.realtime.drift_live`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--ppm", type=float, default=400.0)
    parser.add_argument("--server", choices=("jack", "pulse"), default="jack")
    parser.add_argument("--burst", type=int, default=16)
    parser.add_argument("--target-ms", type=float, default=60.0)
    parser.add_argument("--json", type=Path, default=None, help="write the figures here, new")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seegvox-drift-") as scratch:
        figures = measure(args, Path(scratch))
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        with args.json.open("x") as file:
            file.write(text)
    broken = figures["underruns_settled"] + figures["trims_settled"]
    return int(figures["worst_from_target_ms"] > WITHIN_MS or broken > 0)


if __name__ == "__main__":
    sys.exit(main())
