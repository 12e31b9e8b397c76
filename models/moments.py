"""Mean and deviation of features, second by second, so that artefacts can be left out.

Training and calibration share it: a day's statistics stand in for training's, so they must be the
same quantity. A median with its absolute deviation would bear artefacts better, but of a rectified
band signal it differs from the moments by a factor that depends on the distribution. So the moments
stay, and whole seconds of a channel go whose root mean square is more than `ARTEFACT` times that of
its median second. Speech is hardly ever that much: on simulated patients with gain 1.1, as good as
any published one, no second goes; with gain 2 and paced words three of 224 contacts lose 3 to 22 %
of theirs, the loudest.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from models.guard import Mask

Doubles = NDArray[np.float64]

ARTEFACT = 4.0


class Seconds:
    """Counts, sums and sums of squares of features, a row per second and channel.

    A masked sample is exactly 0 and does not count.

    Parameters
    ----------
    channels : of the features.
    fs : sampling rate, Hz; a second is as many samples, rounded up.
    """

    def __init__(self, channels: int, fs: Fraction) -> None:
        self._period, self._filled = ceil(fs), 0
        self._second = np.zeros((3, channels))
        self._rows: list[Doubles] = []

    def feed(self, features: Doubles) -> None:
        """Take `(n, channels)`."""
        start = 0
        while start < len(features):
            part = features[start : start + self._period - self._filled]
            sums = np.count_nonzero(part, axis=0), part.sum(axis=0), (part * part).sum(axis=0)
            self._second += np.array(sums)
            self._filled += len(part)
            start += len(part)
            if self._filled == self._period:
                self.close()

    def close(self) -> None:
        """End the second that has begun: the next sample does not follow the last."""
        if self._filled:
            self._rows.append(self._second.copy())
        self._second[:] = 0
        self._filled = 0

    def table(self) -> tuple[Doubles, Doubles, Doubles]:
        """Counts, sums, sums of squares of what was closed, `(seconds, channels)` each."""
        rows = np.array(self._rows).reshape(-1, *self._second.shape)
        return rows[:, 0], rows[:, 1], rows[:, 2]


def good_seconds(count: Doubles, square: Doubles) -> Mask:
    """Which seconds of which channels hold signal and no artefact, `(seconds, channels)`."""
    some: Mask = count > 0
    if not len(some):
        return some
    rms = np.sqrt(square / np.maximum(count, 1))
    # Sorted with the empty seconds last, the middle of the others is the median (lower of two).
    middle = np.maximum(some.sum(axis=0) - 1, 0) // 2
    ordered = np.sort(np.where(some, rms, np.inf), axis=0)
    typical = np.take_along_axis(ordered, middle[None], axis=0)
    good: Mask = some & (rms <= ARTEFACT * typical)
    return good


def moments(
    count: Doubles, total: Doubles, square: Doubles, good: Mask
) -> tuple[Doubles, Doubles, Doubles]:
    """Samples, mean and standard deviation of the seconds that count, `(channels,)` each."""
    samples = (count * good).sum(axis=0)
    n = np.maximum(samples, 1)
    mean = (total * good).sum(axis=0) / n
    variance = (square * good).sum(axis=0) / n - mean**2
    return samples, mean, np.sqrt(np.maximum(variance, 0.0))
