"""Samples of an XDF file: a block of bytes to timestamps and values.

A sample is `[TimeStampBytes][TimeStamp, if any][values]`; one without a timestamp follows the
sample before it after one nominal interval.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.recordings.xdf_chunks import DamagedChunkError, read_varlen
from realtime.recordings.xdf_header import FORMATS, STRING, XdfHeader

Doubles = NDArray[np.float64]
Strings = list[tuple[str, ...]]

_EXPLICIT = 8


@dataclass(frozen=True)
class Block:
    """Whole samples found at the beginning of some bytes.

    `stamps` `(n,)` is NaN where the file has none; `values` is `(n, channels)` of the stream's
    own type, or one tuple of strings per sample; `used` is how many bytes they took.
    """

    stamps: Doubles
    values: NDArray[Any] | Strings
    used: int


def parse_block(header: XdfHeader, buffer: bytes, limit: int) -> Block:
    """Parse up to `limit` samples; what is cut off at the end of `buffer` is not touched.

    Raises
    ------
    DamagedChunkError
        If the bytes cannot be samples of this stream.
    """
    if header.format == STRING:
        return _strings(buffer, limit, header.channels)
    dtype = np.dtype(FORMATS[header.format])
    width = dtype.itemsize * header.channels
    flags, used = _flags(buffer, limit, width)
    raw = np.frombuffer(buffer, np.uint8)
    explicit = raw[flags] == _EXPLICIT
    stamps = np.full(len(flags), np.nan)
    stamps[explicit] = _gather(raw, flags[explicit] + 1, 8, used).view("<f8")[:, 0]
    values = _gather(raw, flags + 1 + 8 * explicit, width, used).view(dtype)
    return Block(stamps, values, used)


def resolve(stamps: Doubles, last: float, rate: float) -> Doubles:
    """Fill in the timestamps that the file leaves out.

    Parameters
    ----------
    stamps : `(n,)`, NaN where left out.
    last : timestamp of the sample before; NaN if there is none, then counting begins at 0.
    rate : nominal rate, Hz; at 0 a sample without timestamp has that of the one before.
    """
    known = np.isfinite(stamps)
    if known.all():
        return stamps
    at = np.arange(len(stamps))
    anchor = np.maximum.accumulate(np.where(known, at, -1))
    step = 1 / rate if rate else 0.0
    base = np.where(anchor >= 0, stamps[np.maximum(anchor, 0)], last if np.isfinite(last) else 0.0)
    return np.where(known, stamps, base + (at - anchor) * step)


def _gather(raw: NDArray[np.uint8], places: NDArray[np.int64], width: int, used: int) -> Any:
    """`width` bytes at each place, `(n, width)`; a view of evenly spaced ones."""
    if len(places) == 0:
        return np.empty((0, width), np.uint8)
    stride = int(places[1] - places[0]) if len(places) > 1 else width
    even = stride * (len(places) - 1) == int(places[-1] - places[0])
    windows = np.lib.stride_tricks.sliding_window_view(raw[:used], width)
    if even and bool(np.all(np.diff(places) == stride)):
        first, last = int(places[0]), int(places[-1])
        return np.ascontiguousarray(windows[first : last + 1 : max(1, stride)])
    return np.ascontiguousarray(windows[places])


def _flags(buffer: bytes, limit: int, width: int) -> tuple[NDArray[np.int64], int]:
    """Places of the samples' TimeStampBytes, and the place behind the last whole sample."""
    short, long = 1 + width, 1 + width + _EXPLICIT
    count = min(limit, len(buffer) // long)
    raw = np.frombuffer(buffer, np.uint8)
    if count and bool(np.all(raw[: count * long : long] == _EXPLICIT)):
        end = count * long
        # What is left is nothing, not asked for, or the beginning of one more of the kind.
        if count == limit or end == len(buffer) or buffer[end] == _EXPLICIT:
            return np.arange(count) * long, end
    count = min(limit, 1 + max(0, len(buffer) - long) // short)
    after = raw[long : long + (count - 1) * short : short]
    if len(buffer) >= long and buffer[0] == _EXPLICIT and not after.any():
        places = np.concatenate([[0], long + short * np.arange(count - 1)])
        return places, long + short * (count - 1)
    return _walked(buffer, limit, short, long)


def _walked(buffer: bytes, limit: int, short: int, long: int) -> tuple[NDArray[np.int64], int]:
    places, at, size = array("q"), 0, len(buffer)
    while at < size and len(places) < limit:
        flag = buffer[at]
        if flag not in (0, _EXPLICIT):
            raise DamagedChunkError(f"a timestamp of {flag} bytes")
        behind = at + (long if flag else short)
        if behind > size:
            break
        places.append(at)
        at = behind
    return np.array(places, np.int64), at


def _strings(buffer: bytes, limit: int, channels: int) -> Block:
    stamps, at = array("d"), 0
    values: Strings = []
    while at < len(buffer) and len(values) < limit:
        try:
            stamp, row, behind = _string_sample(buffer, at, channels)
        except _CutOffError:
            break
        stamps.append(stamp)
        values.append(row)
        at = behind
    return Block(np.array(stamps, np.float64), values, at)


class _CutOffError(Exception):
    pass


def _string_sample(buffer: bytes, at: int, channels: int) -> tuple[float, tuple[str, ...], int]:
    flag, stamp, at = buffer[at], np.nan, at + 1
    if flag not in (0, _EXPLICIT):
        raise DamagedChunkError(f"a timestamp of {flag} bytes")
    if flag:
        if at + _EXPLICIT > len(buffer):
            raise _CutOffError
        stamp, at = float(np.frombuffer(buffer, "<f8", 1, at)[0]), at + _EXPLICIT
    row = []
    for _ in range(channels):
        size, at = _string_size(buffer, at)
        if at + size > len(buffer):
            raise _CutOffError
        row.append(buffer[at : at + size].decode("utf-8", "replace"))
        at += size
    return stamp, tuple(row), at


def _string_size(buffer: bytes, at: int) -> tuple[int, int]:
    if at >= len(buffer) or at + 1 + buffer[at] > len(buffer):
        raise _CutOffError
    return read_varlen(buffer, at)
