"""The clock of a series of samples, from timestamps that may hold glitches."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError

Doubles = NDArray[np.float64]

STANDARD_RATES_HZ = (128, 200, 250, 256, 400, 500, 512, 1000, 1024, 2000, 2048, 4096, 5000, 8192)
_SNAP = 1e-3
# A header rounds its rate or its interval: 976.562 us for 1024 Hz is off by 5e-7.
_ROUNDING = 1e-5
JUMP_S = 0.02
"""Steps of the clock from which audio and sEEG would no longer agree on a hop (15 ms). Public
recordings hold glitches of 4 ms, which pass."""
_PIECE = 1 << 20


@dataclass(frozen=True)
class SeriesClock:
    """When the samples of a series were taken, by its timestamps.

    `jump_s` is the largest step of the clock against its own rate, at `jump_at_s` from the start;
    0 where none exceeds `JUMP_S`.
    """

    start_s: float
    effective_hz: float
    typical_hz: float
    jump_s: float = 0.0
    jump_at_s: float = 0.0


def measured_clock(stamps: Any, count: int | None = None) -> SeriesClock:
    """Clock of timestamps that may hold glitches.

    The nominal rate comes from the median positive difference. The effective rate is the median
    slope over about one second: at 9e6 s a single difference is only good to 4 Hz in 48 kHz. The
    start is the median over the recording too, so one glitch moves none of the three.

    Parameters
    ----------
    stamps : `(n,)` seconds; an array, or a dataset that is read in pieces.
    count : how many of them to take; all by default.

    Raises
    ------
    RecordingError
        If there are fewer than two timestamps, or they never advance.
    """
    count = len(stamps) if count is None else count
    if count < 2:
        raise RecordingError(f"a series has {count} timestamps", "at least two")
    # 200 000 places are plenty for a median, and temporaries of hours of audio would not be.
    at = np.arange(0, count - 1, max(1, count // 200_000))
    here = _taken(stamps, at)
    steps = _taken(stamps, at + 1) - here
    if not np.any(steps > 0):
        raise RecordingError("the timestamps never advance", "rising timestamps in seconds")
    typical = float(np.median(steps[steps > 0]))
    lag = max(1, min(count // 2, round(1 / typical)))
    here = here[at + lag < count]
    at = at[at + lag < count]
    spans = _taken(stamps, at + lag) - here
    rate = lag / float(np.median(spans))
    start = float(here[0]) + float(np.median(here - here[0] - at / rate))
    late = np.abs(spans - np.median(spans))
    worst = int(np.argmax(late))
    if not late[worst] > JUMP_S:
        return SeriesClock(start, rate, 1 / typical)
    return SeriesClock(start, rate, 1 / typical, float(late[worst]), float(here[worst] - here[0]))


def snapped(rate: float) -> Fraction:
    """The standard rate within 0.1 % of a measured one.

    Raises
    ------
    RecordingError
        If there is none.
    """
    nearest = _nearest(rate)
    if abs(nearest - rate) > _SNAP * nearest:
        raise RecordingError(
            f"the sEEG timestamps say {rate:.3f} Hz",
            f"a standard rate within 0.1 % (nearest: {nearest} Hz)",
            "correct the timestamps or resample the recording",
        )
    return Fraction(nearest)


def stated(rate: float) -> Fraction:
    """The rate of a header, freed from rounding; 499.907 Hz stays what it is, and so does 160.

    Raises
    ------
    RecordingError
        If it is not a rate.
    """
    if not (np.isfinite(rate) and rate > 0):
        raise RecordingError(f"the sampling rate in the header is {rate}", "a rate in Hz")
    nearest = _nearest(rate)
    if abs(nearest - rate) <= _ROUNDING * nearest:
        return Fraction(nearest)
    return Fraction(rate).limit_denominator(10_000)


def _nearest(rate: float) -> int:
    return min(STANDARD_RATES_HZ, key=lambda standard: abs(standard - rate))


def _taken(stamps: Any, at: NDArray[np.intp]) -> Doubles:
    """Timestamps at ascending places."""
    if isinstance(stamps, np.ndarray):
        return np.asarray(stamps[at], np.float64)
    parts = []
    for start in range(0, int(at[-1]) + 1, _PIECE):
        inside = at[slice(*np.searchsorted(at, (start, start + _PIECE)))] - start
        if len(inside):
            parts.append(np.asarray(stamps[start : start + _PIECE], np.float64)[inside])
    return np.concatenate(parts)
