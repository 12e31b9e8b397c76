"""The recorder: from the ring to the session's folder until told to stop, or left alone.

    python -m realtime.record.process < settings as JSON

It outlives the decoder: when that dies, what was still in the ring is written, and the session
closed with a word about it. A disk that is full ends the record, not the run; what was written
stays readable, and space kept back lets the last index say why there is no more.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pylsl

from realtime.lsl_config import quieten
from realtime.plain import json_bytes
from realtime.playout.exchange import SIZE, Exchange
from realtime.record.index import write_index
from realtime.record.layout import BLOCK, BLOCK_SENT, DATA, HOP, PLAYED, mask_bytes, tables
from realtime.record.markers import MarkerStreams
from realtime.record.parts import Table
from realtime.record.ring import Count, Kind, Ring, Status

POLL_S = 0.05
INDEX_S = 0.25
# An index grows by some 50 bytes a file; this holds weeks of them.
_KEPT_BACK = 1 << 20
_MEL_BYTES = 320


@dataclass
class Setup:
    """What the decoder tells its recorder."""

    folder: Path
    parent: int
    rings: list[tuple[int, int]]
    contacts: list[str]
    fs_hz: float
    about: dict[str, Any]
    played: int | None = None
    own_streams: list[str] = field(default_factory=list)
    markers: bool = True

    @classmethod
    def from_json(cls, text: str) -> Setup:
        """Read back what `realtime.record.record` wrote."""
        raw = json.loads(text)
        return cls(**{**raw, "folder": Path(raw["folder"])})


class Recorder:
    """Drains rings, tee and markers into tables, and puts the index in place."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._about = setup, setup.about
        self.data, self.words = (Ring(mmap.mmap(fd, size)) for fd, size in setup.rings)
        self._contacts = len(setup.contacts)
        (setup.folder / DATA).mkdir()
        self._spare = setup.folder / f".{DATA}.spare"
        self._keep_back()
        specs = tables(self._contacts, setup.fs_hz)
        self._tables = {spec.name: Table(setup.folder, spec) for spec in specs}
        heard = None if setup.played is None else mmap.mmap(setup.played, SIZE)
        self._exchange = None if heard is None else Exchange(heard)
        self._heard, self._rows = 0, 0
        self._dropped = 0
        self._facts: dict[str, Any] = {
            "started_utc": time.time(),
            "started_lsl_s": pylsl.local_clock(),
            "fs_hz": setup.fs_hz,
            "recorder_pid": os.getpid(),
        }
        self._indexed = -math.inf
        self.index("")
        self._markers = MarkerStreams(setup.own_streams) if setup.markers else None

    def _keep_back(self) -> None:
        with self._spare.open("wb") as file:
            file.write(bytes(_KEPT_BACK))

    # --- life ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Record until told to stop or left alone.

        Raises
        ------
        OSError
            If the disk is full or gone.
        """
        ended = ""
        while not ended:
            # Asked first: what had come by then is in the last drain.
            ended = self._over()
            if ended:
                self._last_markers()
            self.drain()
            if ended == "decoder died":
                self._line("events", {"time": pylsl.local_clock(), "event": ended})
                self._tables["events"].flush()
            if not ended and time.monotonic() - self._indexed >= INDEX_S:
                self.index("")
            if not ended:
                time.sleep(POLL_S)
        for table in self._tables.values():
            table.finish()
        self.index(ended)
        self._spare.unlink()

    def _over(self) -> str:
        if self.words[Count.STOP]:
            return "closed"
        return "decoder died" if os.getppid() != self._setup.parent else ""

    def _last_markers(self) -> None:
        if self._markers is not None:
            self._markers.stop()

    def fail(self, why: str) -> None:
        """Say in the session itself why it ends here, with the space kept back for that."""
        self._spare.unlink(missing_ok=True)
        with suppress(OSError):
            self._line(
                "events", {"event": "record failed", "time": pylsl.local_clock(), "why": why}
            )
            self._tables["events"].flush()
        with suppress(OSError):
            self.index(why)

    def index(self, ended: str) -> None:
        """Put the index in place."""
        facts = {
            **self._facts,
            "ended": ended,
            "written_utc": time.time(),
            "dropped_records": self.data[Count.DROPPED],
            "dropped_samples": self.data[Count.DROPPED_SAMPLES],
        }
        parts = list(self._tables.values())
        write_index(self._setup.folder, parts, self._about, self._setup.contacts, facts)
        self._indexed = time.monotonic()

    # --- what comes ---------------------------------------------------------------------------

    def drain(self) -> None:
        """Write everything that has come."""
        for ring in (self.data, self.words):
            for kind, payload in ring.take():
                self._take(kind, payload)
        self._take_heard()
        self._take_markers()
        self._tell_dropped()
        for table in self._tables.values():
            table.flush()

    def _take(self, kind: Kind, payload: bytes) -> None:
        if kind == Kind.BLOCK:
            self._take_block(payload)
        elif kind == Kind.HOP:
            self._take_hop(payload)
        elif kind == Kind.DAC:
            self._tables["dac"].append(payload)
        elif kind == Kind.EVENT:
            self._tables["events"].append(payload)
        else:
            self._about = {**self._about, **json.loads(payload)}

    def _take_block(self, payload: bytes) -> None:
        head = np.frombuffer(payload, BLOCK_SENT, 1)[0]
        samples = self._tables["seeg/samples"]
        row = np.zeros(1, BLOCK)
        row[list(BLOCK_SENT.names or ())] = head
        row["row"] = self._rows
        self._tables["seeg/blocks"].append(row)
        stamps = BLOCK_SENT.itemsize
        values = stamps + 8 * int(head["count"])
        self._tables["seeg/timestamps"].append(payload[stamps:values])
        samples.append(payload[values:])
        self._rows += int(head["count"])

    def _take_hop(self, payload: bytes) -> None:
        at = 0
        sizes = {"hops/times": HOP.itemsize, "mel": _MEL_BYTES}
        for name, size in {**sizes, "hops/mask": mask_bytes(self._contacts)}.items():
            self._tables[name].append(payload[at : at + size])
            at += size
        self._tables["audio/handed"].append(payload[at:])

    def _take_heard(self) -> None:
        if self._exchange is None:
            return
        rows, audio, self._heard = self._exchange.heard_since(self._heard)
        if len(rows):
            table = self._tables["audio/played"]
            out = np.empty(len(rows), PLAYED)
            out["first"] = rows[:, 0] - rows[0, 0] + table.rows
            out["time"] = rows[:, 2] + (pylsl.local_clock() - time.monotonic())
            out["rate"] = rows[:, 3]
            table.append(audio)
            self._tables["audio/played_times"].append(out)

    def _take_markers(self) -> None:
        lines = self._markers.lines if self._markers is not None else None
        while lines is not None and not lines.empty():
            self._line(*lines.get())

    def _tell_dropped(self) -> None:
        dropped = self.data[Count.DROPPED]
        if dropped > self._dropped:
            samples = self.data[Count.DROPPED_SAMPLES]
            told = {"records": dropped, "samples": samples, "time": pylsl.local_clock()}
            self._line("events", {"event": "record overrun", **told})
            self._dropped = dropped

    def _line(self, table: str, content: dict[str, Any]) -> None:
        self._tables[table].append(json_bytes(content))


def _ordinary_priority() -> None:
    """Not the decoder's: inherited, it would keep the hop path waiting for a disk."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    with suppress(OSError):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def main() -> int:
    """Record one session; returns the exit status."""
    _ordinary_priority()
    setup = Setup.from_json(sys.stdin.read())
    quieten()
    recorder = None
    words = Ring(mmap.mmap(*setup.rings[1]))
    try:
        recorder = Recorder(setup)
        words.counts[Count.STATUS] = Status.RUNNING
        recorder.run()
        words.counts[Count.STATUS] = Status.CLOSED
    except Exception as err:
        # Whatever it is, decoding goes on; HDF5 knows a full disk by several names.
        why = (err.strerror if isinstance(err, OSError) else None) or repr(err)
        words.message = f"{setup.folder}: {why}"
        if recorder is not None:
            recorder.fail(words.message)
        words.counts[Count.STATUS] = Status.FAILED
    # HDF5 and liblsl both have exit handlers that can hang or abort after a failure.
    sys.stderr.flush()
    os._exit(0 if words[Count.STATUS] == Status.CLOSED else 1)


if __name__ == "__main__":
    sys.exit(main())
