"""Records what a sound server plays, with the time of every block, in a process of its own.

    python -m tools.bench.capture jack|pulse SECONDS OUT.npz

What counts is a card's view: it begins a block at the moment at which the block is handed to it. So
the first sample of a block has the block's time, and the others follow at the rate.

* jack: the player's own port; time of a period is JACK's, of its beginning, brought to the
  monotonic clock.
* pulse: the monitor of the null sink, through parec; time of a block is when it arrived here. What
  delays single blocks on their way (a second process, two pipes) is taken away with the earliest
  arrival within a second, since the sink's own pace is even.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import SettingsError
from models.streaming import Floats
from tools.bench.processes import say_ready, until_terminated
from tools.bench.rounds import Times
from tools.bench.servers import JACK, PULSE, RATE

FRAGMENT_MS = 10
# A cold null sink stands still for up to 1.8 s.
WARM_S = 2.0
EVEN_S = 1.0


@dataclass(frozen=True)
class Captured:
    """Sound `(n,)` at `rate` Hz; `blocks` `(b, 2)`: first sample, and when it was heard, s.

    `xruns` counts periods that JACK says it lost.
    """

    audio: Floats
    blocks: Times
    rate: int
    xruns: int = 0

    def time_of(self, place: Times) -> Times:
        """When a sample was heard, monotonic clock; NaN stays NaN."""
        block = np.searchsorted(self.blocks[:, 0], np.nan_to_num(place), side="right") - 1
        first, began = self.blocks[np.clip(block, 0, len(self.blocks) - 1)].T
        heard: Times = began + (place - first) / self.rate
        return heard

    def place_at(self, moment: Times) -> Times:
        """The sample that was heard at a time."""
        place: Times = np.interp(moment, self.blocks[:, 1], self.blocks[:, 0])
        return place


def read_captured(path: Path) -> Captured:
    """What a capture left."""
    with np.load(path) as file:
        rate, even = int(file["rate"]), bool(file["even"])
        blocks = evened(file["blocks"], rate) if even else file["blocks"]
        return Captured(file["audio"], blocks, rate, int(file["xruns"]))


def evened(blocks: Times, rate: int, seconds: float = EVEN_S) -> Times:
    """Blocks at an even pace: what came later than the earliest about it only came late.

    Parameters
    ----------
    blocks : `(b, 2)` of `Captured`.
    seconds : how far about a block the earliest is sought.
    """
    from scipy.ndimage import minimum_filter1d

    pace_s = blocks[:, 0] / rate
    early = blocks[:, 1] - pace_s
    if len(blocks) > 1:
        span = max(1, round(seconds / float(np.median(np.diff(pace_s)))))
        early = minimum_filter1d(early, 2 * span + 1, mode="nearest")
    return np.stack([blocks[:, 0], pace_s + early], axis=1)


# --- the process ----------------------------------------------------------------------------------


def _jack(seconds: float, out: Path, stop: threading.Event) -> None:
    from tools.bench.jack import JackRecorder

    recorder = JackRecorder(seconds)
    say_ready()
    recorder.compare_clocks()
    while not stop.wait(0.05):
        recorder.connect()
        recorder.compare_clocks()
    recorder.close()
    audio, blocks = recorder.recorded()
    _save(out, audio, blocks, recorder.rate, recorder.xruns, even=False)


def _pulse(seconds: float, out: Path, stop: threading.Event) -> None:
    args = ["parec", "-d", "vspk.monitor", "--raw", "--format=float32le", f"--rate={RATE}"]
    args += ["--channels=1", f"--latency-msec={FRAGMENT_MS}"]
    process = subprocess.Popen(args, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    raw = np.zeros(4 * int(seconds * RATE), np.uint8)
    blocks, end, warm = [], 0, False
    while not stop.is_set():
        part = os.read(process.stdout.fileno(), 1 << 16)
        now = time.monotonic()
        if not part or end + len(part) > len(raw):
            break
        # Pipes may cut within a sample.
        blocks.append((-(-end // 4), now))
        raw[end : end + len(part)] = np.frombuffer(part, np.uint8)
        end += len(part)
        if not warm and end > 4 * WARM_S * RATE:
            warm = True
            say_ready()
    process.terminate()
    process.wait()
    _save(
        out, raw[: end // 4 * 4].view(np.float32), np.array(blocks, np.float64), RATE, 0, even=True
    )


def _save(out: Path, audio: Floats, blocks: Times, rate: int, xruns: int, even: bool) -> None:
    with out.open("wb") as file:
        np.savez(file, audio=audio, blocks=blocks, rate=rate, xruns=xruns, even=even)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m tools.bench.capture`."""
    kind, seconds, out = (sys.argv[1:] if argv is None else argv)[:3]
    record = {JACK: _jack, PULSE: _pulse}.get(kind)
    if record is None:
        raise SettingsError(f"no sound server '{kind}'", f"{JACK} or {PULSE}")
    record(float(seconds), Path(out), until_terminated())
    return 0


if __name__ == "__main__":
    sys.exit(main())
