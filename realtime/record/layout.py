"""What a session's record holds: one table per quantity, each a dataset of `session.h5`.

seeg/samples       (n, contacts) float32, microvolts, as received
seeg/timestamps    (n,) float64, the sender's LSL clock, s
seeg/blocks        `BLOCK`: what each pull brought; a count of 0 is a pull that brought nothing
hops/times         `HOP`: stamps of each hop on the decoder's LSL clock, s
hops/mask          (hops, ceil(contacts / 8)) uint8: masked contacts, `numpy.packbits`
mel                (hops, 80) float32, natural log
audio/handed       (n,) float32 at 16 kHz, as handed to playout
audio/played       (n,) float32, as written to the device, with fades, at the device's rate
audio/played_times `PLAYED`: each write to the device
dac                `DAC`: when a hop's first sample reached the DAC
events, markers, marker_streams    uint8: lines of JSON, UTF-8
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.hops import HOP as HOP_PERIOD
from models.mel import BANDS, VOCODER_RATE

INDEX = "session.h5"
DATA = "data"
FORMAT, VERSION = "seegvox session", 2
READABLE = (1, 2)
"""Version 1 has no `stream` and no `gain_db` in its blocks."""

_TIMES = ("front_end", "encoder", "decoder", "vocoder", "limiter", "handed_over")
HOP = np.dtype(
    [
        ("index", "i8"),
        ("first_sample", "i8"),
        ("last_sample", "i8"),
        *((name, "f8") for name in ("lsl_time", "available", "started", *_TIMES)),
        *((name, "f8") for name in ("clock_offset", "due")),
        *((name, "i4") for name in ("masked", "bridged")),
        *((name, "?") for name in ("finite", "late", "muted", "dropped")),
    ]
)
"""Stamps and counts of one hop."""
DAC = np.dtype([("hop", "f8"), ("time", "f8")])
"""LSL time at which a hop's first sample reached the DAC, s; NaN if it never did."""
_BLOCK_HEAD = [("available", "f8"), ("first", "i8")]
_BLOCK_REST = [("count", "i8"), ("stream", "i8"), ("gain_db", "f8")]
BLOCK = np.dtype([*_BLOCK_HEAD, ("row", "i8"), *_BLOCK_REST])
"""One pull: when it returned; samples received before it; its first row; its length; how many
streams had taken another's place by then; the operator's gain before the limiter, dB.

`first` and `row` differ by the samples that the record lost to an overrun. With the samples this is
all that mel and audio follow from: see `realtime.session_core`."""
BLOCK_SENT = np.dtype([*_BLOCK_HEAD, *_BLOCK_REST])
"""What the decoder says of a pull; the recorder knows the row."""
PLAYED = np.dtype([("first", "i8"), ("time", "f8"), ("rate", "f8")])
"""One write to the device: first row of `audio/played`, LSL time when the device had taken it, s,
the device's rate, Hz."""

_HOUR_HOPS = int(3600 / HOP_PERIOD)


@dataclass(frozen=True)
class TableSpec:
    """One table: its dataset's name, type of a row's items, shape of a row, rows per file."""

    name: str
    kind: np.dtype[Any]
    row: tuple[int, ...]
    rows_per_file: int
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(self.kind.itemsize * np.prod(self.row, dtype=np.int64))


def mask_bytes(contacts: int) -> int:
    """Bytes of one hop's mask."""
    return (contacts + 7) // 8


def tables(contacts: int, fs_hz: float) -> list[TableSpec]:
    """Every table of a session.

    Parameters
    ----------
    contacts : columns of the sEEG.
    fs_hz : of the sEEG; sets how much one file takes: 5 minutes of samples, about an hour of the
        rest.
    """
    single, byte = np.dtype("f4"), np.dtype("u1")
    rows = round(fs_hz * 300)
    return [
        TableSpec("seeg/samples", single, (contacts,), rows, {"unit": "microvolts"}),
        TableSpec("seeg/timestamps", np.dtype("f8"), (), 12 * rows, {"unit": "s", "clock": "LSL"}),
        TableSpec("seeg/blocks", BLOCK, (), 400_000),
        TableSpec("hops/times", HOP, (), _HOUR_HOPS, {"unit": "s", "clock": "LSL"}),
        TableSpec("hops/mask", byte, (mask_bytes(contacts),), _HOUR_HOPS, {"bits": "big"}),
        TableSpec("mel", single, (BANDS,), _HOUR_HOPS, {"unit": "ln amplitude"}),
        TableSpec("audio/handed", single, (), 3600 * VOCODER_RATE, {"rate_hz": str(VOCODER_RATE)}),
        TableSpec("audio/played", single, (), 3600 * 16_000),
        TableSpec("audio/played_times", PLAYED, (), 900_000, {"unit": "s", "clock": "LSL"}),
        TableSpec("dac", DAC, (), _HOUR_HOPS, {"unit": "s", "clock": "LSL"}),
        *(TableSpec(name, byte, (), 1 << 20) for name in ("events", "markers", "marker_streams")),
    ]
