"""Fundamental frequency and voicing: YIN, and what a reconstruction gets wrong of them.

de Cheveigne & Kawahara 2002 (YIN), steps 1 to 5: the difference function of a frame, its cumulative
mean normalisation, the first dip under a threshold, a parabola through it. A frame is voiced if
there is such a dip and it is not far quieter than speech. Written here because it gives pitch and
voicing at once and quickly; librosa's `pyin` agrees with it (tests).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from training.scores.activity import LOUD_PERCENTILE
from training.scores.arrays import Doubles, Mask, Mels
from training.scores.pearson import correlation

LOWEST_HZ, HIGHEST_HZ = 65.0, 400.0
HOP_S = 0.015
_WINDOW_S = 0.032
# The paper's threshold is 0.1; vocoded speech is less periodic than recorded speech.
_THRESHOLD = 0.2
# Beyond this under the loud frames, periodicity is that of hum.
_QUIET_DB = 35.0
FEWEST_VOICED = 10


@dataclass(frozen=True)
class Pitch:
    """Per frame of 15 ms: `hz` `(frames,)`, meaningful where `voiced`."""

    hz: Doubles
    voiced: Mask


def track_pitch(audio: Mels, rate_hz: int, hop_s: float = HOP_S) -> Pitch:
    """Pitch of audio `(n,)`; frame `k` is centred `(k + 1/2)` hops from the start."""
    longest = int(rate_hz / LOWEST_HZ) + 1
    window = int(_WINDOW_S * rate_hz)
    frames = int(len(audio) / (hop_s * rate_hz))
    centres = np.rint((np.arange(frames) + 0.5) * hop_s * rate_hz).astype(np.int64)
    half = (window + longest) // 2
    padded = np.pad(np.asarray(audio, np.float64), half + 1)
    hz, power = np.zeros(frames), np.zeros(frames)
    voiced: Mask = np.zeros(frames, bool)
    for start in range(0, frames, 1024):
        part = slice(start, start + 1024)
        cut = padded[centres[part, None] + 1 + np.arange(window + longest)]
        hz[part], voiced[part] = _pitch_of(cut, window, rate_hz)
        power[part] = np.mean(cut**2, axis=1)
    level = 10 * np.log10(power + 1e-12)
    if frames:
        voiced[level <= np.percentile(level, LOUD_PERCENTILE) - _QUIET_DB] = False
    return Pitch(hz, voiced)


def _pitch_of(cut: Doubles, window: int, rate_hz: int) -> tuple[Doubles, Mask]:
    """Pitch in Hz and voicing of frames `(n, window + longest lag)`."""
    normal = _normalised_difference(cut, window)
    shortest = int(rate_hz / HIGHEST_HZ)
    inner = normal[:, shortest:-1]
    dip = (inner < _THRESHOLD) & (inner <= normal[:, shortest + 1 :])
    voiced: Mask = np.asarray(dip.any(axis=1), np.bool_)
    lag = shortest + np.where(voiced, dip.argmax(axis=1), 0)
    rows = np.arange(len(cut))
    before, here, after = (normal[rows, lag + shift] for shift in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.where(np.abs(bend) > 1e-12, 0.5 * (before - after) / np.where(bend == 0, 1, bend), 0)
    hz: Doubles = rate_hz / (lag + np.clip(shift, -1, 1))
    return hz, voiced


def _normalised_difference(cut: Doubles, window: int) -> Doubles:
    """Cumulative mean normalised difference for lags from 0, `(n, lags)`; YIN eq. 6 and 8."""
    lags = cut.shape[1] - window
    size = next_fast_len(cut.shape[1] + window)
    head = cut[:, :window]
    product = irfft(np.conj(rfft(head, size)) * rfft(cut, size), size)[:, :lags]
    energy = np.pad(np.cumsum(cut * cut, axis=1), ((0, 0), (1, 0)))
    moved = energy[:, window : window + lags] - energy[:, :lags]
    difference = np.maximum(moved[:, :1] + moved - 2 * product, 0)
    total = np.cumsum(difference[:, 1:], axis=1)
    normal: Doubles = np.ones_like(difference)
    # Digital silence has no period: its ratio of zeros counts as 1.
    count = np.arange(1, lags)
    normal[:, 1:] = np.where(total > 1e-9, difference[:, 1:] * count / np.maximum(total, 1e-9), 1)
    return normal


def voicing_error(original: Pitch, copy: Pitch, frames: Mask | None = None) -> float:
    """Share of frames that are voiced in one and not in the other (Nakatani et al. 2008)."""
    differ = original.voiced != copy.voiced
    return float(np.mean(differ if frames is None else differ[frames]))


def log_f0_r(original: Pitch, copy: Pitch) -> float | None:
    """Pearson r of log F0 over frames voiced in both; None if they are fewer than ten."""
    both = original.voiced & copy.voiced
    if both.sum() < FEWEST_VOICED:
        return None
    pair = (np.log(pitch.hz[both])[:, None] for pitch in (original, copy))
    return float(correlation(*pair)[0])
