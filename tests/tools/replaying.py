"""Recordings for tests of the replay, and what inlets receive of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pylsl

from tests.xdf_files import Stream, XdfWriter

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared/data"
ORIGIN = 5000.0
FS = 512.0


def write_lab(
    path: Path,
    tag: str = "",
    seconds: float = 2.0,
    unit: str = "microvolts",
    lost: tuple[int, int] = (0, 0),
    jitter_s: float = 0.0,
) -> Path:
    """A laboratory's XDF: sEEG (sample index in its first contact), sound, markers, gaze, empties.

    `lost` are the first of the sEEG samples that never came, and how many. Every stream has a clock
    offset of its own, which must be applied.
    """
    tag = tag or uuid4().hex[:8]
    seeg = Stream(
        1, f"amp-{tag}", "EEG", 3, FS, "float32", ("A1", "A2", "B1"), (unit,) * 3, ("SEEG",) * 3
    )
    audio = Stream(2, f"mic-{tag}", "Audio", 1, 8000.0, "int16")
    marks = Stream(3, f"words-{tag}", "Markers", 2, 0, "string")
    eye = Stream(4, f"eye-{tag}", "Gaze", 2, 0, "double64")
    silent = Stream(5, f"silent-{tag}", "Markers", 1, 0, "string")
    twin = Stream(6, f"twin-{tag}", "EEG", 3, FS, "float32", (), (unit,) * 3)
    index = np.arange(round(seconds * FS))
    kept = (index < lost[0]) | (index >= lost[0] + lost[1])
    late = jitter_s * np.abs(np.random.default_rng(3).standard_normal(len(index) // 16 + 1))
    times = ORIGIN + index / FS + np.repeat(late, 16)[: len(index)]
    rows = np.column_stack([index, np.sin(index), -index]).astype(np.float32)
    sound = np.arange(round(seconds * 8000)) % 30_000
    heard = ORIGIN + 0.1 + np.arange(len(sound)) / 8000
    gaze = ORIGIN + 0.05 + np.sort(np.random.default_rng(1).uniform(0, seconds - 0.1, 40))
    with XdfWriter(path) as out:
        for stream in (seeg, audio, marks, eye, silent, twin):
            out.header(stream)
        out.boundary()
        for stream, offset in ((1, -7.25), (2, 1000.5), (3, 0.0), (4, 3.0)):
            for k in (0.0, seconds / 2):
                out.offset(stream, ORIGIN + k - offset, offset)
        out.samples(1, rows[kept], times[kept] + 7.25)
        out.samples(2, sound, heard - 1000.5)
        out.samples(3, [("start;café", "1"), ("end;café", "2")], [ORIGIN + 0.5, ORIGIN + 1.25])
        out.samples(4, np.column_stack([np.arange(40), np.full(40, 0.1)]), gaze - 3.0)
        for stream in (1, 2, 3, 4, 5, 6):
            out.footer(stream)
    return path


@dataclass
class Received:
    """What one inlet received."""

    name: str
    info: pylsl.StreamInfo
    rows: list[Any] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    came: list[float] = field(default_factory=list)

    @property
    def values(self) -> np.ndarray:
        return np.array(self.rows)

    @property
    def times(self) -> np.ndarray:
        return np.array(self.stamps)


class Listener:
    """Pulls from one stream in a thread until `stop`."""

    def __init__(self, wanted: str, by: str = "source_id") -> None:
        found = pylsl.resolve_byprop(by, wanted, timeout=30)
        assert found, wanted
        # Raw stamps; what comes late or twice must show.
        self._inlet = pylsl.StreamInlet(found[0], 60, 0, recover=False, processing_flags=0)
        self.got = Received(found[0].name(), self._inlet.info(5))
        self._inlet.open_stream(5)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pull, daemon=True)
        self._thread.start()

    def _pull(self) -> None:
        try:
            while not self._stop.is_set():
                rows, stamps = self._inlet.pull_chunk(0.1, 4096, min_samples=1)
                now = pylsl.local_clock()
                self.got.rows += rows if isinstance(rows, list) else rows.tolist()
                self.got.stamps += list(stamps)
                self.got.came += [now] * len(stamps)
        except Exception as err:
            # The outlet has gone: the end of the recording.
            self.error = err

    def end(self) -> Received:
        self._stop.set()
        self._thread.join(5)
        return self.got


@dataclass
class Replay:
    """A replay in a process of its own: what it said, and what was received from it."""

    received: dict[str, Received]
    status: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """Its `--json`."""
        return json.loads(self.out)


def command(path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tools.cli", "replay", str(path), *options]


@contextmanager
def replaying(path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The process, ended at the latest when the block ends."""
    process = subprocess.Popen(
        command(path, *options),
        cwd=ROOT,
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def heard(
    path: Path, wanted: list[str], *options: str, seconds: float = 60.0, by: str = "source_id"
) -> Replay:
    """Replay a recording and listen to all its streams from the first sample to the last."""
    with replaying(path, "--wait", "all", "--json", *options) as process:
        listeners = [Listener(one, by) for one in wanted]
        out, err = process.communicate(timeout=seconds)
        received = [listener.end() for listener in listeners]
    return Replay({one.name: one for one in received}, process.returncode, out, err)
