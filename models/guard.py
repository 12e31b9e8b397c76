"""The guard: which contacts may be believed at each sample."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from models.spec import GuardSpec
from models.streaming import Floats

Mask = NDArray[np.bool_]


class Guard:
    """Masks a contact from the sample it goes bad until it has been clean for a while.

    Bad is: not finite; at or beyond the saturation level; the same value for `flat_ms`, from the
    sample that makes it so long. A contact is back with the first sample that lies `clean_ms` or
    more after its last bad one. Decided sample by sample, so any chunking gives the same mask.
    """

    def __init__(self, contacts: int, fs: Fraction, spec: GuardSpec) -> None:
        self._flat = max(2, ceil(Fraction(str(spec.flat_ms)) / 1000 * fs))
        # At least the bad sample itself.
        self._hold = max(1, ceil(Fraction(str(spec.clean_ms)) / 1000 * fs))
        self._settle = max(1, self._hold // 2)
        self._limit = np.float32(spec.saturation_uv)
        self._last = np.empty((1, contacts), np.float32)
        self._run = np.empty(contacts, np.int64)
        self._since_bad = np.empty(contacts, np.int64)
        self.reset()

    def reset(self) -> None:
        """Trust every contact again."""
        self._last[:] = np.nan
        self._run[:] = 0
        self._since_bad[:] = self._hold

    def step(self, x: Floats) -> Mask:
        """Mask of `(n, contacts)` microvolts: True where a contact must not be used."""
        return self.judge(x)[0]

    def judge(self, x: Floats) -> tuple[Mask, Mask]:
        """Masks of `(n, contacts)` microvolts: not to be used, and not even to be filtered.

        The second ends halfway through the clean time: filters settle in the rest of it, unheard.
        Not earlier, lest a contact that is bad now and then start its filters each time.
        """
        if len(x) == 0:
            return np.zeros(x.shape, np.bool_), np.zeros(x.shape, np.bool_)
        changed = np.concatenate([self._last, x[:-1]]) != x
        run, self._run = _since(changed, self._run)
        # Written so that NaN fails the comparison.
        bad = ~(np.abs(x) < self._limit) | (run >= self._flat - 1)
        since_bad, self._since_bad = _since(bad, self._since_bad)
        self._last[:] = x[-1]
        return since_bad < self._hold, since_bad < self._settle


def _since(event: Mask, carried: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Samples since the last event, per sample, continuing `carried`; and the count to carry on."""
    row = np.arange(len(event))[:, None]
    last = np.maximum.accumulate(np.where(event, row, -1 - carried), axis=0)
    since = row - last
    # A cap keeps hours of counting far from overflow; every threshold is smaller.
    return since, np.minimum(since[-1], 1 << 40)
