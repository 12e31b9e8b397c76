"""What the record costs the hop path; interleaved rounds with and without, at the real cadence.

    python -m tests.realtime.record_overhead demo/bundle [rounds] [seconds per round]

In rounds without, nothing is handed to the record and the recorder stands still (SIGSTOP). A hop's
compute is counted from its samples being there, before they are recorded, until its audio could be
handed over; recording the hop itself comes after that, and is in the time of the calls.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from models.bundle import load_bundle
from realtime.pipeline import Pipeline
from realtime.record.record import Record
from realtime.scheduling import quiet_process


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def one_round(pipeline, samples, record, seconds: float, calls: list[float]) -> np.ndarray:
    hop_s, clock = float(pipeline.clock.hop), pipeline.clock
    took, due, at = [], time.monotonic() + 0.05, 0
    for k in range(int(seconds / hop_s)):
        n = clock.end(k) - (clock.end(k - 1) if k else 0)
        block = samples[at % 50_000 : at % 50_000 + n]
        stamps = np.arange(at, at + n) / float(clock.fs)
        at += n
        time.sleep(max(0.0, due - time.monotonic()))
        due += hop_s
        begin = time.monotonic()
        if record is not None:
            record.samples(block, stamps, begin)
        spent = time.monotonic() - begin
        for hop in pipeline.hops(block, stamps, begin):
            called = time.monotonic()
            if record is not None:
                record.hop(hop, called, 0.0, False)
            spent += time.monotonic() - called
            took.append(called - begin)
        calls.append(spent)
    return 1e3 * np.array(took)


def main(bundle_path: str, rounds: int = 10, seconds: float = 6.0) -> None:
    bundle = load_bundle(Path(bundle_path))
    spec = bundle.spec
    pipeline = Pipeline.from_bundle(bundle)
    pipeline.warm_up(len(spec.contacts))
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 30, (51_000, len(spec.contacts))).astype(np.float32)
    found: dict[bool, list[np.ndarray]] = {True: [], False: []}
    calls: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder, quiet_process() as granted:
        with Record(Path(folder) / "s", {}, spec.contacts, float(spec.fs_hz)) as record:
            begin, idle = time.monotonic(), 0.0
            for k in range(2 * rounds):
                recording = k % 2 == 0
                os.kill(record.pid, signal.SIGCONT if recording else signal.SIGSTOP)
                time.sleep(0.3)
                target = record if recording else None
                found[recording].append(
                    one_round(pipeline, samples, target, seconds, calls[recording])
                )
                idle += 0 if recording else seconds
            os.kill(record.pid, signal.SIGCONT)
            time.sleep(1.0)
            busy = time.monotonic() - begin - idle
            print(
                f"recorder: {resident_mb(record.pid):.1f} MB, {cpu_s(record.pid) / busy:.1%} core"
            )
            print(f"dropped records: {record.dropped}")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.h5"))
        written_s = rounds * seconds
        print(f"{size / written_s * 3600 / 1e9:.3f} GB per hour, {len(spec.contacts)} contacts")
    print(granted, os.getloadavg())
    spent = 1e6 * np.array(calls[True])
    print(f"record calls a hop, us: p50 {np.median(spent):.1f}, p99 {np.percentile(spent, 99):.1f}")
    for p in (50, 99):
        on, off = (np.array([np.percentile(r, p) for r in found[w]]) for w in (True, False))
        print(
            f"hop compute p{p}: with {np.median(on):.3f} ms, without {np.median(off):.3f} ms, "
            f"median ratio of neighbouring rounds {np.median(on / off):.3f}"
        )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
