"""The folder that `decode` writes: a session that any reader of sessions opens, and plain files.

session.h5, data/   mel, audio, hops, masks, events: `realtime.record.layout`, without samples
audio.wav           the audio as it would have been handed to playout, 16 kHz, 16 bit
events.jsonl        one JSON object a line, as in a live session, times on the virtual clock
summary.json        what was decoded with what, counts, speed, and the comparison
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from realtime.events import Event
from realtime.plain import json_line, plain
from realtime.record.index import write_index
from realtime.record.layout import DATA, tables
from realtime.record.parts import Table
from realtime.record.wav import export_wav
from realtime.redecode.batches import Batch
from realtime.redecode.session import DECODED

AUDIO, EVENTS, SUMMARY = "audio.wav", "events.jsonl", "summary.json"


class ResultFolder:
    """Takes hops in batches and events one by one; nothing grows in memory.

    Parameters
    ----------
    folder : empty, and not yet where it will be.
    contacts : the bundle's montage.
    fs_hz : of the sEEG.
    """

    def __init__(self, folder: Path, contacts: Sequence[str], fs_hz: float) -> None:
        (folder / DATA).mkdir()
        self._folder, self._contacts, self._fs_hz = folder, contacts, fs_hz
        self._tables = {spec.name: Table(folder, spec) for spec in tables(len(contacts), fs_hz)}
        self._events = (folder / EVENTS).open("w", encoding="utf-8")

    def hops(self, batch: Batch) -> None:
        """Write hops."""
        for name, rows in {
            "hops/times": batch.rows,
            "hops/mask": batch.mask,
            "mel": batch.mel,
            "audio/handed": batch.audio,
        }.items():
            self._tables[name].append(rows)
            self._tables[name].flush()

    def event(self, event: Event) -> None:
        """Write one event."""
        line = json_line({"time": event.time, "event": event.kind, **event.details}) + "\n"
        self._events.write(line)
        self._tables["events"].append(line.encode())

    def close(self) -> None:
        """Let go of the files; what is not concluded is no result."""
        self._events.close()

    def conclude(
        self, about: Mapping[str, Any], started_s: float, summary: Mapping[str, Any]
    ) -> None:
        """Put index, audio and summary in place.

        Parameters
        ----------
        about : what the folder says of itself.
        started_s : the virtual clock's time of the first sample, s.
        """
        self._events.close()
        for table in self._tables.values():
            table.flush()
            table.finish()
        facts = {
            "started_utc": time.time(),
            "started_lsl_s": started_s,
            "fs_hz": self._fs_hz,
            "recorder_pid": os.getpid(),
            "ended": DECODED,
            "written_utc": time.time(),
            "dropped_records": 0,
            "dropped_samples": 0,
        }
        write_index(self._folder, list(self._tables.values()), about, self._contacts, facts)
        self._write_audio()
        text = json.dumps(plain(summary), indent=1, ensure_ascii=False, default=str)
        (self._folder / SUMMARY).write_text(text + "\n", encoding="utf-8")

    def _write_audio(self) -> None:
        (made,) = export_wav(self._folder, self._folder / ".audio")
        made.rename(self._folder / AUDIO)
        made.parent.rmdir()
