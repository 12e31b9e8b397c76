"""Audio that runs on without a break: what a rate and a start can describe."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from models.mel import VOCODER_HOP, VOCODER_RATE

# Longer than the jitter of driver stamps and of writes to a device.
BREAK_S = 0.1
# A rate fitted over less says more about jitter than about the clock.
_FIT_S = 60.0


@dataclass(frozen=True)
class Stretch:
    """Samples `first` up to `stop`; `start_s` on the local LSL clock; `rate_hz` by that clock."""

    first: int
    stop: int
    start_s: float
    rate_hz: float
    nominal_hz: int


def handed_stretches(file: h5py.File) -> list[Stretch]:
    """Audio handed to playout, timed by the last sample of neural data each hop was made from."""
    hops = file["hops/times"].fields(["lsl_time", "clock_offset"])[()]
    times = hops["lsl_time"] + usual_offset(hops["clock_offset"])
    firsts = np.arange(len(times)) * VOCODER_HOP
    rates = np.full(len(times), float(VOCODER_RATE))
    return _stretches(firsts, times, rates, len(file["audio/handed"]))


def played_stretches(file: h5py.File) -> list[Stretch]:
    """Audio that the device took, timed by when it had taken it."""
    rows = file["audio/played_times"][()]
    return _stretches(rows["first"], rows["time"], rows["rate"], len(file["audio/played"]))


def usual_offset(offsets: NDArray[np.float64]) -> float:
    """Seconds from the sender's clock to the local one: the median of those known, else 0."""
    known = offsets[np.isfinite(offsets)]
    return float(np.median(known)) if len(known) else 0.0


def _stretches(
    firsts: NDArray[np.int64],
    times: NDArray[np.float64],
    rates: NDArray[np.float64],
    total: int,
) -> list[Stretch]:
    known = np.isfinite(times)
    firsts, times, rates = firsts[known], times[known], rates[known]
    if not len(times):
        return []
    late = np.diff(times) - np.diff(firsts) / rates[:-1]
    cuts = np.flatnonzero((np.abs(late) > BREAK_S) | (np.diff(rates) != 0)) + 1
    edges = [0, *cuts.tolist(), len(times)]
    stops = [*firsts[cuts].tolist(), total]
    return [
        Stretch(
            first=int(firsts[begin]),
            stop=int(stop),
            start_s=float(times[begin]),
            rate_hz=_rate(firsts[begin:end], times[begin:end], float(rates[begin])),
            nominal_hz=round(float(rates[begin])),
        )
        for begin, end, stop in zip(edges[:-1], edges[1:], stops, strict=True)
    ]


def _rate(firsts: NDArray[np.int64], times: NDArray[np.float64], nominal: float) -> float:
    """Rate by the local clock, a straight line through the times; nominal if too short."""
    if times[-1] - times[0] < _FIT_S:
        return nominal
    slope = np.polyfit(times - times[0], firsts - firsts[0], 1)[0]
    return float(slope)
