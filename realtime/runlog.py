"""The log of a run: per-hop times, mel and audio, appended by a thread of its own.

    run.json      what ran: settings, bundle hash, versions, counts (written at start and end)
    events.jsonl  one line per change of state or fault
    hops.bin      `HOP` records, in order
    mel.f32       `(hops, 80)` float32
    audio.f32     float32 at 16 kHz, as handed to playout
    dac.bin       `DAC` records: when a hop's first sample reached the DAC

Files only ever grow, and are flushed four times a second: what was written can be read whatever
happens to the process. A disk that is full ends the log, not the run.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from models.files import new_file, refuse_busy
from models.mel import BANDS, VOCODER_HOP
from models.streaming import Floats
from realtime.pipeline import Hop

_TIMES = ("front_end", "encoder", "decoder", "vocoder", "limiter", "handed_over")
HOP = np.dtype(
    [
        ("index", "i8"),
        ("first_sample", "i8"),
        ("last_sample", "i8"),
        *((name, "f8") for name in ("lsl_time", "available", "started", *_TIMES)),
        ("clock_offset", "f8"),
        ("masked", "i4"),
        ("finite", "?"),
        ("late", "?"),
    ]
)
DAC = np.dtype([("hop", "f8"), ("time", "f8")])
FILES = ("hops.bin", "mel.f32", "audio.f32", "dac.bin", "events.jsonl")
_PERIOD_S = 0.25
_COPIED = tuple(n for n in HOP.names or () if n not in ("handed_over", "clock_offset", "late"))


class RunLog:
    """Writes a run's folder; the hop path only ever appends to a queue.

    Raises
    ------
    BusyOutputError
        If the folder exists and is not empty.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        refuse_busy(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._about = folder, about
        self._queue: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._row = np.zeros((), HOP)
        self.fault: str | None = None
        """Why nothing is written any more; None while all is well."""
        self._write_about()
        self._thread = threading.Thread(target=self._write, name="run log", daemon=True)
        self._thread.start()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *exc: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self.fault is None:
            self._write_about()

    def hop(self, hop: Hop, handed_over: float, clock_offset: float, late: bool) -> None:
        """Append one hop."""
        row = self._row
        for name in _COPIED:
            row[name] = getattr(hop, name)
        row["handed_over"], row["clock_offset"], row["late"] = handed_over, clock_offset, late
        self._put("hops.bin", row.tobytes())
        self._put("mel.f32", hop.mel.tobytes())
        self._put("audio.f32", hop.audio.tobytes())

    def dac_times(self, rows: NDArray[np.float64]) -> None:
        """Append rows (hop, time)."""
        self._put("dac.bin", rows.tobytes())

    def event(self, kind: str, lsl_time: float, **details: Any) -> None:
        """Append an event at an LSL time."""
        line = json.dumps({"time": lsl_time, "event": kind, **details}, default=str)
        self._put("events.jsonl", line.encode() + b"\n")

    def conclude(self, **facts: Any) -> None:
        """Add facts to `run.json`, written when the log closes."""
        self._about = {**self._about, **facts}

    def _put(self, name: str, content: bytes) -> None:
        # A log that has failed must not grow in memory instead.
        if self.fault is None:
            self._queue.put((name, content))

    def _write_about(self) -> None:
        with new_file(self.folder / "run.json", overwrite=True) as partial:
            partial.write_text(json.dumps(self._about, indent=2, default=str))

    def _write(self) -> None:
        try:
            with ExitStack() as stack:
                paths = {name: self.folder / name for name in FILES}
                files = {n: stack.enter_context(path.open("ab")) for n, path in paths.items()}
                while self._drain(files):
                    pass
        except OSError as err:
            self.fault = f"{self.folder}: {err.strerror or err}"

    def _drain(self, files: Mapping[str, BinaryIO]) -> bool:
        """Write what has come and wait a little; False once the log is to close."""
        time.sleep(_PERIOD_S)
        running = True
        while running and not self._queue.empty():
            item = self._queue.get()
            if item is None:
                running = False
            else:
                files[item[0]].write(item[1])
        for file in files.values():
            file.flush()
        return running


@dataclass(frozen=True)
class Run:
    """A run read back: `hops` of dtype `HOP`, `dac` each hop's DAC time (NaN if unknown)."""

    about: dict[str, Any]
    events: list[dict[str, Any]]
    hops: NDArray[np.void]
    mel: Floats
    audio: Floats
    dac: NDArray[np.float64]


def read_run(folder: Path) -> Run:
    """Read a run's folder, also one whose process died: as many hops as are there whole.

    Raises
    ------
    RecordingError
        If it is no run.
    """
    try:
        about = json.loads((folder / "run.json").read_text())
        hops = _whole(folder / "hops.bin", HOP)
        mel = _whole(folder / "mel.f32", np.dtype("f4"))
        audio = _whole(folder / "audio.f32", np.dtype("f4"))
        told = _whole(folder / "dac.bin", DAC)
        lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    except (OSError, ValueError) as err:
        raise RecordingError(
            f"{folder} is no run ({err})", "the folder of a run", "give the --out of `seegvox live`"
        ) from err
    count = min(len(hops), len(mel) // BANDS, len(audio) // VOCODER_HOP)
    dac = np.full(count, np.nan)
    known = told[np.isfinite(told["hop"]) & (told["hop"] < count)]
    dac[known["hop"].astype(int)] = known["time"]
    return Run(
        about=about,
        # A line that was being written when the process died has no end.
        events=[json.loads(line) for line in lines if line.endswith("\n")],
        hops=hops[:count],
        mel=mel[: count * BANDS].reshape(-1, BANDS),
        audio=audio[: count * VOCODER_HOP],
        dac=dac,
    )


def _whole(path: Path, kind: np.dtype[Any]) -> NDArray[Any]:
    raw = path.read_bytes()
    return np.frombuffer(raw[: len(raw) // kind.itemsize * kind.itemsize], kind)
