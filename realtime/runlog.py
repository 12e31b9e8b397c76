"""The log of a run: per-hop times, mel and audio, appended by a thread of its own.

    run.json      what ran: settings, bundle hash, versions, counts (written at start and end)
    events.jsonl  one line per change of state or fault
    hops.bin      `HOP` records, in order
    mel.f32       `(hops, 80)` float32
    audio.f32     float32 at 16 kHz, as handed to playout
    dac.bin       `DAC` records: when a hop's first sample reached the DAC

Files only ever grow, and are flushed four times a second: what was written can be read whatever
happens to the process.
"""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from models.files import refuse_busy
from models.mel import BANDS
from models.streaming import Floats
from realtime.pipeline import Hop

HOP = np.dtype(
    [
        ("index", "i8"),
        ("first_sample", "i8"),
        ("last_sample", "i8"),
        *((name, "f8") for name in ("lsl_time", "available", "started")),
        *((name, "f8") for name in ("front_end", "encoder", "decoder", "vocoder", "handed_over")),
        ("masked", "i4"),
        ("finite", "?"),
        ("late", "?"),
    ]
)
DAC = np.dtype([("hop", "f8"), ("time", "f8")])
FILES = ("hops.bin", "mel.f32", "audio.f32", "dac.bin")
_PERIOD_S = 0.25


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
        self._write_about()
        self._thread = threading.Thread(target=self._write, name="run log", daemon=True)
        self._thread.start()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        self._write_about()

    def hop(self, hop: Hop, handed_over: float, late: bool) -> None:
        """Append one hop."""
        row = self._row
        for name in (HOP.names or ())[:10]:
            row[name] = getattr(hop, name)
        row["handed_over"], row["late"] = handed_over, late
        row["masked"], row["finite"] = hop.masked, hop.finite
        self._queue.put(("hops.bin", row.tobytes()))
        self._queue.put(("mel.f32", hop.mel.tobytes()))
        self._queue.put(("audio.f32", hop.audio.tobytes()))

    def dac_times(self, rows: NDArray[np.float64]) -> None:
        """Append rows (hop, time)."""
        self._queue.put(("dac.bin", rows.tobytes()))

    def event(self, kind: str, time: float, **details: Any) -> None:
        """Append an event at an LSL time."""
        line = json.dumps({"time": time, "event": kind, **details})
        self._queue.put(("events.jsonl", line.encode() + b"\n"))

    def conclude(self, **facts: Any) -> None:
        """Add facts to `run.json`, written when the log closes."""
        self._about = {**self._about, **facts}

    def _write_about(self) -> None:
        (self.folder / "run.json").write_text(json.dumps(self._about, indent=2, default=str))

    def _write(self) -> None:
        names = (*FILES, "events.jsonl")
        files: dict[str, BinaryIO] = {n: (self.folder / n).open("ab") for n in names}
        pause, running = threading.Event(), True
        while running:
            pause.wait(_PERIOD_S)
            while not self._queue.empty():
                item = self._queue.get()
                if item is None:
                    running = False
                    break
                files[item[0]].write(item[1])
            for file in files.values():
                file.flush()
        for file in files.values():
            file.close()


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
    """Read a run's folder, also one whose process died.

    Raises
    ------
    RecordingError
        If it is no run.
    """
    if not (folder / "run.json").is_file():
        raise RecordingError(
            f"{folder} holds no run.json", "the folder of a run", "give the --out of `seegvox live`"
        )
    hops = _whole(folder / "hops.bin", HOP)
    mel = _whole(folder / "mel.f32", np.dtype("f4"))
    told = _whole(folder / "dac.bin", DAC)
    dac = np.full(len(hops), np.nan)
    known = told[np.isfinite(told["hop"]) & (told["hop"] < len(hops))]
    dac[known["hop"].astype(int)] = known["time"]
    lines = (folder / "events.jsonl").read_text().splitlines()
    return Run(
        about=json.loads((folder / "run.json").read_text()),
        events=[json.loads(line) for line in lines],
        hops=hops,
        mel=mel[: len(mel) // BANDS * BANDS].reshape(-1, BANDS),
        audio=_whole(folder / "audio.f32", np.dtype("f4")),
        dac=dac,
    )


def _whole(path: Path, kind: np.dtype[Any]) -> NDArray[Any]:
    raw = path.read_bytes()
    return np.frombuffer(raw[: len(raw) // kind.itemsize * kind.itemsize], kind)
