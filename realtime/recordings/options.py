"""What may be said about a recording that its file does not say, or says wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from realtime.recordings.amplitude import Unit


@dataclass(frozen=True)
class Options:
    """The options of `read_recording`, which documents them."""

    audio: Path | None = None
    audio_offset_s: float = 0.0
    events: Path | None = None
    unit: Unit | None = None
    contacts: tuple[str, ...] | None = None
    bad_contacts: tuple[str, ...] = ()
    line_hz: float | None = None
