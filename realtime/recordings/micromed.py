"""Micromed TRC, through neo (MNE has no reader for it)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError, need
from realtime.recordings.contacts import Channel
from realtime.recordings.source import Source

_GEOMETRY_AT = 138
"""Start of the samples, number of channels, multiplexer, lowest rate, bytes per sample."""


def open_micromed(file: Path) -> Source:
    """Open a TRC file.

    Raises
    ------
    RecordingError
        If it is damaged, or pauses in between.
    MissingExtraError
        Without the extra `formats` (neo).
    """
    rawio = need("neo.rawio", "formats")
    trc = rawio.MicromedRawIO(str(file))
    try:
        trc.parse_header()
        samples = int(trc.get_signal_size(0, 0, 0))
    except Exception as err:  # neo raises whatever its parsing trips over
        reason = " ".join(f"{type(err).__name__}: {err}".split())
        raise RecordingError(
            f"{file} cannot be read ({reason})", "a complete TRC file", "copy or export it again"
        ) from err
    _check_continuous(trc, file)
    stored = trc.header["signal_channels"]

    def read(places: list[int], start: int, stop: int) -> NDArray[np.float64]:
        raw = trc.get_analogsignal_chunk(0, 0, start, stop, 0, channel_indexes=places)
        values: NDArray[np.float64] = trc.rescale_signal_raw_to_float(
            raw, "float64", 0, channel_indexes=places
        )
        return values

    return Source(
        file=file,
        rate_hz=float(trc.get_signal_sampling_rate(0)),
        samples=samples,
        channels=[Channel(str(c["name"]).strip()) for c in stored],
        units=[str(c["units"]) for c in stored],
        read=read,
        marks=_marks(trc),
        notes=_tail_note(file),
    )


def _tail_note(file: Path) -> tuple[str, ...]:
    """A note on a last sample without all contacts; neo leaves it out."""
    with file.open("rb") as stream:
        stream.seek(_GEOMETRY_AT)
        start, channels, _, _, width = struct.unpack("<IHHHH", stream.read(12))
    if (file.stat().st_size - start) % (channels * width) == 0:
        return ()
    return (f"the last sample of {file.name} lacks some contacts; it was left out",)


def _check_continuous(trc: Any, file: Path) -> None:
    parts = trc.segment_count(0)
    if parts > 1:
        starts = [trc.segment_t_start(0, part) for part in range(parts)]
        raise RecordingError(
            f"{file} was paused: it has {parts} parts, from "
            + ", ".join(f"{start:.1f} s" for start in starts[:6]),
            "a recording without pauses: what follows would not match the audio",
            "export its parts as files of their own",
        )


def _marks(trc: Any) -> list[tuple[float, float, str]]:
    """Epochs and notes as onset and duration in seconds, and text."""
    marks = []
    for place, channel in enumerate(trc.header["event_channels"]):
        at, lengths, texts = trc.get_event_timestamps(0, 0, place)
        onsets = trc.rescale_event_timestamp(at, "float64", place)
        seconds = np.zeros(len(at))
        if lengths is not None:
            seconds = trc.rescale_epoch_duration(lengths, "float64", place)
        kind = str(channel["name"])
        marks += [
            (float(onset), float(length), str(text) if kind == "Note" else f"{kind} {text}")
            for onset, length, text in zip(onsets, seconds, texts, strict=True)
        ]
    return marks
