"""Which frames are speech."""

from __future__ import annotations

import numpy as np

from models.errors import SettingsError
from training.scores.arrays import Doubles, Mask, Mels

RANGE_DB, LOUD_PERCENTILE = 20.0, 95.0


def fit_speech_threshold(training: Mels) -> float:
    """Mean log-mel above which a frame is speech: Otsu's threshold (1979) on training truth.

    Raises
    ------
    SettingsError
        If the training truth has no two levels to tell apart.
    """
    level = np.asarray(training, np.float64).mean(axis=1)
    counts, edges = np.histogram(level, 256)
    if level.max() - level.min() < 0.1:
        raise SettingsError("the training audio has one level only", "speech and silence")
    middle = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts)[:-1], counts.sum()
    sums = np.cumsum(counts * middle)
    means = sums[:-1] / np.maximum(below, 1), (sums[-1] - sums[:-1]) / np.maximum(total - below, 1)
    between = below * (total - below) * np.square(means[1] - means[0])
    return float(edges[1 + int(np.argmax(between))])


def speech_frames(mels: Mels, threshold: float) -> Mask:
    """Frames whose mean log-mel exceeds the threshold, `(frames,)`."""
    active: Mask = np.asarray(mels, np.float64).mean(axis=1) > threshold
    return active


def loud_frames(level_db: Doubles) -> Mask:
    """Frames within 20 dB of the 95th percentile of frame level, `(frames,)`.

    For audio without a training part, where no threshold can be fitted elsewhere.
    """
    loud: Mask = level_db >= np.percentile(level_db, LOUD_PERCENTILE) - RANGE_DB
    return loud
