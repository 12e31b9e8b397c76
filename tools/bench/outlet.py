"""A simulated amplifier that notes when it pushed each packet.

    python -m tools.bench.outlet RECORDING.npy SOURCE_ID BURST LOG.npy [--wait]

The log, `(packets, 2)`: the timestamp of the packet's last sample, and the monotonic clock just
before the push, s; on Linux LSL's clock is the monotonic one. Sample `i` is taken `(i + 1) / fs`
after the start, which is what its timestamp says: it identifies the sample in whatever another
process records. Nothing spins: a late push is a late push, and noted.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pylsl

from realtime.lsl_config import quieten
from realtime.streams import write_description
from tools.amplifier import Source, load
from tools.bench.processes import say_ready, until_terminated
from tools.bench.rounds import Times

LEAD_S = 0.1
NAME = "seegvox-bench"


def open_outlet(source: Source, source_id: str) -> pylsl.StreamOutlet:
    """An outlet of type EEG in microvolts, float32."""
    labels = source.labels
    info = pylsl.StreamInfo(NAME, "EEG", len(labels), float(source.fs), "float32", source_id)
    write_description(info, labels, "microvolts", "SEEG", "seegvox (benchmark)")
    return pylsl.StreamOutlet(info, 0, 10)


def push(outlet: pylsl.StreamOutlet, source: Source, burst: int, stop: threading.Event) -> Times:
    """Push packets, round and round, until stopped; the log."""
    log: list[tuple[float, float]] = []
    seeg, fs = np.ascontiguousarray(source.seeg, np.float32), Fraction(source.fs)
    period, index = float(1 / fs), np.arange(burst)
    start, first = pylsl.local_clock() + LEAD_S, 0
    while not stop.is_set():
        last = first + burst
        rows = np.take(seeg, first + index, axis=0, mode="wrap")
        stamps = start + (first + 1 + index) * period
        if stop.wait(max(0.0, float(stamps[-1]) - pylsl.local_clock())):
            break
        pushed = pylsl.local_clock()
        outlet.push_chunk(rows, stamps.tolist())
        log.append((float(stamps[-1]), pushed))
        first = last
    return np.array(log, np.float64).reshape(-1, 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m tools.bench.outlet`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("source_id")
    parser.add_argument("burst", type=int)
    parser.add_argument("log", type=Path)
    parser.add_argument("--wait", action="store_true", help="begin when somebody listens")
    args = parser.parse_args(argv)
    quieten()
    stop = until_terminated()
    source = load(args.recording)
    outlet = open_outlet(source, args.source_id)
    say_ready()
    while args.wait and not stop.is_set() and not outlet.wait_for_consumers(0.1):
        pass
    np.save(args.log, push(outlet, source, args.burst, stop))
    return 0


if __name__ == "__main__":
    sys.exit(main())
