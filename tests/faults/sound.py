"""What was heard: silences, clicks and repeats in captured audio, on the clock of LSL.

Thresholds are for the bundle of `tests.faults.bundle`, whose audio never pauses: 10 ms of it have
an RMS of 0.01 or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.signal import fftconvolve, resample_poly

RATE = 48_000
# 40 dB under the audio; PulseAudio's silence is zeros, but for the ringing of a resampler.
SILENCE = 3e-4
BLOCK_S = 0.005


@dataclass(frozen=True)
class Span:
    """From `start` to `end`, seconds on the LSL clock."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Heard:
    """Captured audio, mono at 48 kHz, and the LSL time of its frames.

    `arrivals` has rows (frames captured by then, LSL time); capturing takes 10 to 30 ms, so the
    times of frames are late by about that, never early.
    """

    audio: np.ndarray
    arrivals: np.ndarray

    def times(self, frames: np.ndarray) -> np.ndarray:
        """LSL time of each of `(n,)` frames.

        A frame was played before it arrived; the least delay within 2 s around is the pace.
        """
        counts, came = self.arrivals.T
        excess = came - counts / RATE
        window = max(1, int(2.0 / max(np.median(np.diff(came)), 1e-3)))
        least = _running_minimum(excess, window)
        return frames / RATE + np.interp(frames, counts, least)

    def frame(self, time: float) -> int:
        """Frame heard at an LSL time."""
        every = np.arange(0, len(self.audio), 240)
        at = np.interp(time, self.times(every), every)
        return int(at)

    def between(self, start: float, end: float) -> np.ndarray:
        """Audio heard from `start` to `end`, LSL seconds."""
        return self.audio[self.frame(start) : self.frame(end)]

    def silences(self, least_s: float = 0.02) -> list[Span]:
        """Silences of at least so long, seconds; silence is an RMS under `SILENCE` over 5 ms."""
        runs = silent_runs(self.audio, least_s)
        return [Span(*self.times(np.array(run, float))) for run in runs]

    def silence_after(self, time: float, least_s: float = 0.02) -> Span | None:
        """The first silence that begins, or still lasts, after an LSL time."""
        return next((span for span in self.silences(least_s) if span.end > time), None)


def _running_minimum(x: np.ndarray, window: int) -> np.ndarray:
    from scipy.ndimage import minimum_filter1d

    return minimum_filter1d(x, window)


def silent_runs(audio: np.ndarray, least_s: float) -> list[tuple[int, int]]:
    """Runs (first frame, frame after the last) of silence, to 5 ms."""
    block = int(BLOCK_S * RATE)
    whole = audio[: len(audio) // block * block].reshape(-1, block)
    quiet = np.sqrt((whole.astype(float) ** 2).mean(axis=1)) < SILENCE
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int)))
    runs = edges.reshape(-1, 2) * block
    return [(int(a), int(b)) for a, b in runs if b - a >= least_s * RATE]


def largest_step(audio: np.ndarray) -> float:
    """Largest change from one sample to the next."""
    return float(np.abs(np.diff(audio)).max()) if len(audio) > 1 else 0.0


def step_bound(clean: np.ndarray, rate: float = RATE) -> float:
    """Largest step that audio like `clean` may have at a fade; beyond it is a click.

    Audio times gain: the slope is at most that of the audio, plus its peak times the slope of the
    steepest fade. That is one block of 67 samples at 16 kHz along a raised cosine: pi/2 over 201
    frames of 48 kHz, 0.0078 a frame. A quarter on top: the clean part has not every extreme in it.
    """
    slope = np.pi / 2 / (67 / 16_000 * rate)
    return 1.25 * (largest_step(clean) + slope * float(np.abs(clean).max()))


def repeats(
    audio: np.ndarray, least_s: float = 0.02, within_s: float = 0.6
) -> list[tuple[float, float]]:
    """Pieces that were heard before: (place, how long before), seconds.

    Each 20 ms, in steps of 10 ms, is looked for at 16 kHz in what came up to `within_s` before. A
    repeat is alike above 0.99 (half a sample off at 700 Hz is 0.998) twice running with the same
    lag, so 30 ms of it are found. Audio of the test bundle is nowhere that alike but in the first
    moments after a cold start, when the vocoder hums; then with another lag at each step.
    """
    low = resample_poly(audio, 1, 3)
    found = _likeness(low, least_s, within_s)
    return [
        (at / 16_000, lag / 16_000)
        for (at, lag, like), (_, next_lag, next_like) in pairwise(found)
        if min(like, next_like) > 0.99 and abs(lag - next_lag) <= 1
    ]


def greatest_likeness(audio: np.ndarray, least_s: float = 0.02, within_s: float = 0.6) -> float:
    """The largest correlation of any piece with what came before it."""
    low = resample_poly(audio, 1, 3)
    return max((like for *_, like in _likeness(low, least_s, within_s)), default=0.0)


def _likeness(low: np.ndarray, least_s: float, within_s: float) -> list[tuple[int, int, float]]:
    n, reach = int(least_s * 16_000), int(within_s * 16_000)
    found = []
    for at in range(n, len(low) - n, n // 2):
        piece = low[at : at + n].astype(float)
        energy = float(piece @ piece)
        if energy < n * SILENCE**2 * 100:
            continue
        # From just before on: what overlaps the piece itself is like it in any sound.
        past = low[max(0, at - reach) : at].astype(float)
        if len(past) < n:
            continue
        dots = fftconvolve(past, piece[::-1], mode="valid")
        sums = np.concatenate([[0.0], np.cumsum(past**2)])
        power = sums[n:] - sums[:-n]
        like = dots / np.sqrt(np.maximum(power * energy, 1e-20))
        best = int(np.argmax(like))
        found.append((at, len(past) - best, float(like[best])))
    return found
