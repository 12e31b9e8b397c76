"""Where in captured sound each decoded hop is: by correlation, no stage's own clock believed.

The normalised cross-correlation of a hop's own 240 samples, brought to the capture's rate, with the
captured sound after it was handed over. Sound servers, fades and resamplers may do what they like:
where the correlation stays low the hop was not heard as it was decoded, and counts as not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate, resample_poly

from models.mel import VOCODER_HOP, VOCODER_RATE
from models.streaming import Floats
from tools.bench.rounds import Times

REACH_S = 0.4
BEFORE_S = 0.02
FOUND = 0.7
"""Least correlation; noise of 15 ms within 0.4 s comes to 0.3."""
_SILENT = 1e-8


@dataclass(frozen=True)
class Found:
    """Of each hop: place of its first sample in the captured sound, `(hops,)`, NaN where it was not
    found; and the correlation there."""

    place: Times
    score: Times


def locate(
    decoded: Floats,
    captured: Floats,
    rate: int,
    expected: Times,
    reach_s: float = REACH_S,
    around: int = 0,
) -> Found:
    """Find every hop.

    Parameters
    ----------
    decoded : `(hops * 240,)`, 16 kHz, as handed to playout.
    captured : `(n,)` at `rate` Hz.
    expected : `(hops,)` place in the captured sound at which the hop was handed over: it cannot be
        heard before; sought from 20 ms before it, in case this is not so. NaN: not sought.
    reach_s : how far after it is sought.
    around : hops on either side that are correlated too; more where sound repeats itself.
    """
    ratio = Fraction(rate, VOCODER_RATE)
    raised = resample_poly(decoded, ratio.numerator, ratio.denominator).astype(np.float32)
    hops, length = len(expected), float(VOCODER_HOP * ratio)
    place, score = np.full(hops, np.nan), np.zeros(hops)
    before, reach = BEFORE_S * rate, reach_s * rate
    for hop in map(int, np.flatnonzero(np.isfinite(expected))):
        first, last = max(0, hop - around), min(hops, hop + around + 1)
        start = round(first * length)
        sought = raised[start : round(last * length)]
        lead = round(hop * length) - start
        begin = max(0, int(expected[hop] - before) - lead)
        window = captured[begin : int(expected[hop] + reach) - lead + len(sought)]
        peak, score[hop] = _peak(sought, window)
        if score[hop] >= FOUND:
            place[hop] = begin + peak + lead
    return Found(place, score)


def _peak(sought: Floats, window: Floats) -> tuple[float, float]:
    """Place of the best match within the window, to a fraction of a sample, and its correlation."""
    energy = float(np.dot(sought, sought))
    if len(window) <= len(sought) or energy < _SILENT:
        return float("nan"), 0.0
    product = correlate(window.astype(np.float64), sought.astype(np.float64), "valid", "fft")
    running = np.concatenate([[0.0], np.cumsum(window.astype(np.float64) ** 2)])
    there = running[len(sought) :] - running[: -len(sought)]
    match = product / np.sqrt(energy * np.maximum(there, _SILENT))
    best = int(np.argmax(match))
    return best + _vertex(match, best), min(1.0, float(match[best]))


def _vertex(values: Times, at: int) -> float:
    """How far the top of the parabola through three values lies from the middle one."""
    if not 0 < at < len(values) - 1:
        return 0.0
    left, middle, right = values[at - 1 : at + 2]
    bend = left - 2 * middle + right
    return 0.0 if bend >= 0 else float(0.5 * (left - right) / bend)


def breaks(found: Found, rate: int, slack: float = 0.004) -> NDArray[np.int64]:
    """Hops that do not follow the one before without a step: `(breaks,)` indices.

    A hop lasts 15 ms of captured sound, but for the playout's resampling (0.1 %): what departs by
    more than `slack` of it, or was not found, broke the sound.
    """
    length = VOCODER_HOP * rate / VOCODER_RATE
    step = np.diff(found.place)
    whole = np.abs(step - length) <= slack * length
    return np.flatnonzero(~whole).astype(np.int64) + 1
