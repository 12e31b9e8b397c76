"""Mean and confidence interval over folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

UNITS = (
    "Intervals are Student's t over folds, and say how steady the score is within this recording: "
    "folds share training data, and patients, not folds, are the statistical unit."
)


@dataclass(frozen=True)
class Interval:
    """Mean, its 95 % confidence interval by Student's t, standard deviation, count."""

    mean: float
    low: float
    high: float
    deviation: float
    count: int


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Interval of a mean over folds; None for fewer than two."""
    if len(values) < 2:
        return None
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(t.ppf(0.5 + confidence / 2, len(values) - 1)) * deviation / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half, deviation, len(values))
