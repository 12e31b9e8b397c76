"""The decoder's side of the record: everything is copied into shared memory, nothing waits.

Samples and hops go straight into a ring, from the one thread of the hop path. What any thread may
tell (events, DAC times, facts) goes through a queue, and by a thread of this object into a ring of
its own; that thread also notices a recorder that has died.
"""

from __future__ import annotations

import json
import mmap
import os
import queue
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from models.files import refuse_busy
from models.streaming import Floats
from realtime import child
from realtime.child import shared_memory
from realtime.plain import json_bytes
from realtime.record.layout import BLOCK_SENT, HOP, mask_bytes
from realtime.record.ring import Count, Kind, Ring, Status, memory_size

_ROOT = Path(__file__).resolve().parents[2]
_PERIOD_S = 0.1
# For what waits when the record closes; longer, nobody drains the ring.
_HANDED_ON_S = 5.0
# Trouble is told for as long as records were left out so recently.
_BEHIND_S = 2.0
_START_S, _END_S = 20.0, 60.0
# The recorder may stand still for this long before anything is lost.
RING_S = 8.0
_LEAST_RING, _WORDS_RING = 1 << 22, 1 << 20
_CODES = {"i8": "q", "f8": "d", "i4": "i", "b1": "?"}
_AT = (HOP.names or ()).index("handed_over")
_stamps_of = attrgetter(*(HOP.names or ())[:_AT])
_counts_of = attrgetter("masked", "bridged", "finite")


def _packer(row: np.dtype[Any]) -> struct.Struct:
    """Packs one row of a table, without padding."""
    return struct.Struct("<" + "".join(_CODES[row[name].str[1:]] for name in row.names or ()))


_BLOCK_ROW, _HOP_ROW = _packer(BLOCK_SENT), _packer(HOP)


class HopLike(Protocol):
    """What is recorded of a hop: fields named as in `HOP`, its mask, its mel frame, its audio."""

    due: float
    mask: NDArray[np.bool_]
    masked: int
    bridged: int
    muted: bool
    dropped: bool
    finite: bool
    mel: Floats
    audio: Floats


class Record:
    """One session's record, in a new folder, written by a process of its own.

    Parameters
    ----------
    folder : of the session, new.
    about : settings, bundle hash, environment; anything JSON can say.
    contacts : labels of the sEEG's columns; without them no samples are recorded.
    fs_hz : of the sEEG.
    played : file descriptor of the playout's shared memory, for the audio as played.
    own_streams : source ids of this session's own LSL outlets, not recorded as markers.
    markers : look for LSL marker streams.
    tell : is given one line when records were left out.

    Raises
    ------
    BusyOutputError
        If the folder exists and is not empty.
    RecordingError
        If the recorder does not start.
    """

    def __init__(
        self,
        folder: Path,
        about: dict[str, Any],
        contacts: Sequence[str] = (),
        fs_hz: float = 1024.0,
        played: int | None = None,
        own_streams: Collection[str] = (),
        markers: bool = True,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        refuse_busy(folder)
        self.folder, self._tell = folder, tell
        self.fault: str | None = None
        """Why nothing is written any more; None while all is well."""
        self._files = [_shared(_ring_size(len(contacts), fs_hz)), _shared(_WORDS_RING)]
        self._data, self._words = (Ring(_mapped(f)) for f in self._files)
        self._received, self._told_dropped = 0, 0
        self._behind_until = 0.0
        self._hop_row = bytearray(_HOP_ROW.size)
        self._contacts = len(contacts)
        self._no_mask = bytes(mask_bytes(len(contacts)))
        setup = {
            "folder": str(folder.absolute()),
            "parent": os.getpid(),
            "rings": [(f.fileno(), _size(f)) for f in self._files],
            "contacts": list(contacts),
            "fs_hz": float(fs_hz),
            "about": about,
            "played": played,
            "own_streams": list(own_streams),
            "markers": markers,
        }
        self._recorder = self._start(json.dumps(setup, default=str), played)
        self._queue: queue.SimpleQueue[tuple[Kind, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._forward, name="record", daemon=True)
        self._thread.start()

    def _start(self, setup: str, played: int | None) -> _Process:
        was_there = self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        inherited = [f.fileno() for f in self._files] + ([] if played is None else [played])
        with ExitStack() as undo:
            undo.callback(self._undo, was_there)
            recorder = _Process(setup, inherited)
            undo.callback(recorder.end, 0.0)
            self._await_start(recorder)
            undo.pop_all()
        return recorder

    def _undo(self, was_there: bool) -> None:
        """Leave the folder as it was found: empty, or not there."""
        for file in self._files:
            file.close()
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not was_there:
            self.folder.rmdir()

    def _await_start(self, recorder: _Process) -> None:
        end = time.monotonic() + _START_S
        while self._words[Count.STATUS] == Status.OPENING and recorder.running():
            if time.monotonic() > end:
                break
            time.sleep(0.005)
        if self._words[Count.STATUS] not in (Status.RUNNING, Status.CLOSED):
            why = self._words.message or recorder.end(0.0)
            raise RecordingError(
                f"the session cannot be recorded: {why}", "a folder with room", "free some space"
            )

    @property
    def pid(self) -> int:
        """Process id of the recorder."""
        return self._recorder.pid

    @property
    def dropped(self) -> int:
        """Records that were left out because the recorder stood still."""
        return self._data[Count.DROPPED]

    @property
    def trouble(self) -> str | None:
        """`fault`, or that records are being left out; None while all is well."""
        if self.fault is None and time.monotonic() < self._behind_until:
            return "the recorder stands still, and records are left out"
        return self.fault

    @property
    def room(self) -> int:
        """Bytes that samples and hops may take until some are left out."""
        return self._data.room

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *exc: object) -> None:
        self._queue.put(None)
        self._thread.join(_HANDED_ON_S)
        if self._thread.is_alive():
            # Nobody drains the ring: with a fault the thread gives up.
            self.fault = "the recorder hangs"
            self._thread.join()
        words = self._recorder.end(0.0 if self.fault else _END_S)
        if self.fault is None and self._words[Count.STATUS] != Status.CLOSED:
            self.fault = self._words.message or words
        for file in self._files:
            file.close()

    # --- the hop path -------------------------------------------------------------------------

    def samples(
        self,
        samples: Floats,
        timestamps: NDArray[np.float64],
        available: float,
        stream: int = 0,
        gain_db: float = 0.0,
    ) -> None:
        """Append what one pull brought; with no samples, that it brought nothing.

        Parameters
        ----------
        samples : `(n, contacts)` float32, microvolts, montage order, contiguous.
        timestamps : `(n,)`, the sender's LSL clock, s.
        available : LSL time at which the pull returned, s.
        stream : how many streams have taken another's place.
        gain_db : the gain that its audio is made with.
        """
        n = len(samples)
        head = _BLOCK_ROW.pack(available, self._received, n, stream, gain_db)
        self._received += n
        parts = (timestamps, samples) if n else ()
        self._put(Kind.BLOCK, n, head, *parts)

    def hop(self, hop: HopLike, handed_over: float, clock_offset: float, late: bool) -> None:
        """Append one hop."""
        told = (handed_over, clock_offset, hop.due, *_counts_of(hop), late, hop.muted, hop.dropped)
        _HOP_ROW.pack_into(self._hop_row, 0, *_stamps_of(hop), *told)
        bits = np.packbits(hop.mask).data if len(hop.mask) == self._contacts else self._no_mask
        self._put(Kind.HOP, 0, self._hop_row, hop.mel.data, bits, hop.audio.data)

    def _put(self, kind: Kind, samples: int, *parts: Any) -> None:
        if self.fault is None and not self._data.put(kind, *parts):
            self._data.counts[Count.DROPPED] += 1
            self._data.counts[Count.DROPPED_SAMPLES] += samples

    # --- any thread ---------------------------------------------------------------------------

    def dac_times(self, rows: NDArray[np.float64]) -> None:
        """Append rows (hop, time)."""
        if len(rows):
            self._queue_up(Kind.DAC, rows)

    def event(self, kind: str, lsl_time: float, **details: Any) -> None:
        """Append an event at an LSL time."""
        self._queue_up(Kind.EVENT, {"time": lsl_time, "event": kind, **details})

    def conclude(self, **facts: Any) -> None:
        """Add facts to what the session says about itself."""
        self._queue_up(Kind.ABOUT, facts)

    def _queue_up(self, kind: Kind, content: Any) -> None:
        # A record that has failed must not grow in memory instead.
        if self.fault is None:
            self._queue.put((kind, content))

    # --- the thread ---------------------------------------------------------------------------

    def _forward(self) -> None:
        running = True
        while running:
            time.sleep(_PERIOD_S)
            running = self._forward_waiting()
            self._check()
        self._words.counts[Count.STOP] = 1

    def _forward_waiting(self) -> bool:
        """Hand on what has come; False once the record is to close."""
        while not self._queue.empty():
            item = self._queue.get()
            if item is None:
                return False
            kind, content = item
            raw = content.tobytes() if kind == Kind.DAC else json_bytes(content)
            while self.fault is None and not self._words.put(kind, raw):
                time.sleep(_PERIOD_S)
                self._check()
        return True

    def _check(self) -> None:
        if self.fault is None and not self._recorder.running():
            self.fault = self._words.message or self._recorder.end(0.0)
        if self.dropped > self._told_dropped:
            self._told_dropped, now = self.dropped, time.monotonic()
            if now > self._behind_until:
                self._tell(f"record overrun: {self.dropped} records left out so far")
            self._behind_until = now + _BEHIND_S


class _Process:
    """The recorder in a child; only its own process id is ever signalled."""

    def __init__(self, setup: str, descriptors: Sequence[int]) -> None:
        self._said: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
        self._child = subprocess.Popen(
            [sys.executable, "-m", "realtime.record.process"],
            pass_fds=descriptors,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            # Ctrl-C is for the service, which closes its record when it has stopped.
            start_new_session=True,
        )
        assert self._child.stdin is not None
        # One that has died already says why by its status.
        with suppress(BrokenPipeError):
            self._child.stdin.write(setup.encode())
            self._child.stdin.close()
        self.pid = self._child.pid

    def running(self) -> bool:
        return self._child.poll() is None

    def end(self, seconds: float) -> str:
        """Wait for it, kill what hangs; its last words."""
        child.end(self._child, seconds)
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        said = f": {lines[-1]}" if lines else ""
        return f"the recorder ended with status {self._child.returncode}{said}"


def _ring_size(contacts: int, fs_hz: float) -> int:
    return max(_LEAST_RING, int(RING_S * fs_hz * (4 * contacts + 16)))


def _shared(capacity: int) -> BinaryIO:
    return shared_memory("seegvox-record", memory_size(capacity))


def _mapped(file: BinaryIO) -> mmap.mmap:
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    return mmap.mmap(file.fileno(), _size(file), flags=flags)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
