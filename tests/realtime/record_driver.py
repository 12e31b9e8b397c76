"""A decoder that only records: samples and hops whose values are their own index, at real pace.

    python -m tests.realtime.record_driver <folder> <progress file> [seconds] [speed]

The progress file holds, as int64: pid of the recorder, samples handed over, hops handed over.
"""

import mmap
import sys
import time
from pathlib import Path

import numpy as np

from realtime.record.record import Record

CONTACTS = [f"C{i}" for i in range(16)]
FS = 1024.0
HOP_S = 0.015


class MadeHop:
    """A hop as the pipeline gives it, of which all values are the hop's index."""

    lsl_time = available = started = front_end = encoder = decoder = vocoder = limiter = 0.0
    due = float("nan")
    masked, bridged, finite, muted, dropped = 1, 0, True, False, False

    def __init__(self, index: int) -> None:
        self.index, self.first_sample, self.last_sample = index, index * 15, index * 15 + 14
        self.mel = np.full(80, index, np.float32)
        self.audio = np.full(240, index, np.float32)
        self.mask = np.zeros(len(CONTACTS), bool)
        self.mask[index % len(CONTACTS)] = True


def block(first: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(first, first + n)
    return np.repeat(index[:, None], len(CONTACTS), 1).astype(np.float32), index / FS


def main(folder: Path, progress: Path, seconds: float, speed: float) -> None:
    with progress.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 24)
    done = memoryview(memory).cast("q")
    with Record(folder, {"driver": True}, CONTACTS, FS, markers=False) as record:
        begin, samples, hops = time.monotonic(), 0, 0
        done[0] = record.pid
        while (passed := (time.monotonic() - begin) * speed) < seconds:
            due = int(passed * FS)
            while samples + 32 <= due:
                record.samples(*block(samples, 32), samples / FS)
                samples += 32
                done[1] = samples
            while hops < int(passed / HOP_S):
                record.hop(MadeHop(hops), 0.0, 0.0, False)
                record.event("hop", 0.0, index=hops)
                hops += 1
                done[2] = hops
            time.sleep(0.002)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(float, [*sys.argv[3:], 3600, 1][:2]))
