"""Pearson's correlation over time, the score that everything else here qualifies."""

from __future__ import annotations

import numpy as np

from models.errors import SettingsError
from training.scores.arrays import Doubles, Mask, Mels, same_shape

FLAT = 1e-6
"""A column that varies less than this is constant."""


def correlation(truth: Mels, prediction: Mels) -> Doubles:
    """Pearson r over time of each column, `(columns,)`; 0 where a column is constant.

    A constant prediction carries no information on time; its r is undefined and counts as 0.
    """
    a = np.asarray(truth, np.float64) - np.mean(truth, axis=0, dtype=np.float64)
    b = np.asarray(prediction, np.float64) - np.mean(prediction, axis=0, dtype=np.float64)
    power = np.sum(a * a, axis=0) * np.sum(b * b, axis=0)
    flat = (a.std(axis=0) < FLAT) | (b.std(axis=0) < FLAT)
    r: Doubles = np.sum(a * b, axis=0) / np.sqrt(np.where(flat, 1.0, power))
    r[flat] = 0
    return r


def bins_r(truth: Mels, prediction: Mels, frames: Mask | None = None) -> Doubles:
    """Correlation over time of each bin, `(80,)`, of all frames or those of a mask.

    Raises
    ------
    SettingsError
        If the shapes differ or fewer than three frames are left.
    """
    same_shape(truth, prediction)
    if frames is not None:
        truth, prediction = truth[frames], prediction[frames]
    if len(truth) < 3:
        raise SettingsError(f"{len(truth)} frames are left to score", "at least 3")
    return correlation(truth, prediction)


def mel_r(truth: Mels, prediction: Mels, frames: Mask | None = None) -> float:
    """Mean over bins of the correlation over time, of all frames or those of a mask.

    Raises
    ------
    SettingsError
        If the shapes differ or fewer than three frames are left.
    """
    return float(bins_r(truth, prediction, frames).mean())
