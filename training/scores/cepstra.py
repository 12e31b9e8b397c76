"""Mel-cepstral distortion, plain and after dynamic time warping.

Kubichek 1993 (Mel-cepstral distance measure for objective speech quality assessment):

    MCD = 10 / ln 10 * sqrt(2 * sum_{d=1..24} (c_d - c'_d)^2)   dB,

with coefficients in the convention ln|H| = sum_d c_d cos(d w); it is then the root mean square
difference of the two log spectra, in dB, without their level (c_0) and finest detail (d > 24).
Spectra here are the 80 mel bands themselves: c_d = 2/B sum_b L_b cos(pi d (b + 1/2) / B), L_b the
natural log of amplitude. Other front ends (WORLD, SPTK) give other absolute values: compare only
what was computed alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.errors import SettingsError
from models.hops import HOP
from training.scores.arrays import Doubles, Mask, Mels, same_shape

Places = NDArray[np.int64]

ORDER = 24
WARP_S = 0.5
_DECIBEL = 10 * np.sqrt(2) / np.log(10)


def cepstra(mels: Mels, order: int = ORDER) -> Doubles:
    """Coefficients 1 to `order` of log-mels `(frames, bands)`: `(frames, order)`."""
    bands = mels.shape[1]
    angle = np.pi * np.outer(np.arange(bands) + 0.5, np.arange(1, order + 1)) / bands
    made: Doubles = np.asarray(mels, np.float64) @ np.cos(angle) * (2 / bands)
    return made


def distortion_db(truth: Mels, prediction: Mels, frames: Mask | None = None) -> float:
    """Mean mel-cepstral distortion over all frames or those of a mask, dB.

    Raises
    ------
    SettingsError
        If the shapes differ or no frame is left.
    """
    same_shape(truth, prediction)
    mask = _some(truth, frames)
    return float(_distances_db(cepstra(truth)[mask], cepstra(prediction)[mask]).mean())


def warped_distortion_db(
    truth: Mels,
    prediction: Mels,
    frames: Mask | None = None,
    band_s: float = WARP_S,
    hop_s: float = float(HOP),
) -> float:
    """The same along the path of least total distortion, dB; never report it alone.

    The path may leave the diagonal by `band_s` at most. Averaged over the pairs of the path, those
    whose true frame is in the mask.
    """
    same_shape(truth, prediction)
    mask = _some(truth, frames)
    a, b = cepstra(truth), cepstra(prediction)
    left, right = warping_path(a, b, max(1, round(band_s / hop_s)))
    kept = mask[left]
    return float(_distances_db(a[left[kept]], b[right[kept]]).mean())


def warping_path(a: Doubles, b: Doubles, band: int) -> tuple[Places, Places]:
    """Frames of `a` and `b` (equally long) paired by dynamic time warping, from first to last.

    Sakoe & Chiba 1978: steps (1, 0), (0, 1), (1, 1) of equal weight, within `band` frames of the
    diagonal. Worked through by antidiagonals: time and memory grow with frames times band.
    """
    steps = _accumulate(a, b, band)
    i = j = len(a) - 1
    path = [(i, j)]
    while i or j:
        step = steps[i + j, i - j + band]
        i, j = i - (step != 2), j - (step != 1)
        path.append((i, j))
    left, right = np.array(path[::-1]).T
    return left, right


def _accumulate(a: Doubles, b: Doubles, band: int) -> NDArray[np.int8]:
    """Best step into each cell, `(2 * frames - 1, 2 * band + 1)`: 0 both, 1 in `a`, 2 in `b`.

    Row `i + j`, column `i - j + band`.
    """
    frames, width = len(a), 2 * band + 1
    steps = np.zeros((2 * frames - 1, width), np.int8)
    # A column of infinity on either side stands for leaving the band.
    before, last = np.full(width + 2, np.inf), np.full(width + 2, np.inf)
    last[band + 1] = _distances_db(a[0], b[0])
    for diagonal in range(1, 2 * frames - 1):
        reach = min(band, diagonal, 2 * (frames - 1) - diagonal)
        lean = np.arange(-reach + (reach + diagonal) % 2, reach + 1, 2)
        i, place = (diagonal + lean) // 2, lean + band + 1
        into = np.stack([before[place], last[place - 1], last[place + 1]])
        best = into.argmin(axis=0)
        steps[diagonal, place - 1] = best
        now = np.full(width + 2, np.inf)
        now[place] = into[best, np.arange(len(lean))] + _distances_db(a[i], b[i - lean])
        before, last = last, now
    return steps


def _distances_db(a: Doubles, b: Doubles) -> Doubles:
    distances: Doubles = _DECIBEL * np.sqrt(np.sum((a - b) ** 2, axis=-1))
    return distances


def _some(truth: Mels, frames: Mask | None) -> Mask:
    mask = np.ones(len(truth), bool) if frames is None else frames
    if not mask.any():
        raise SettingsError("no frame is left to score", "at least 1")
    return mask
