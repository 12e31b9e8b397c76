"""Stand-ins for samples that never came: the last whole periods of the line, joined at both ends.

Measured against features (70-170 Hz, z-scores) of the same signal without the loss, over 100 ms
after 16 / 49 ms lost, rms: this 0.52 / 0.60; a straight line 0.71 / 0.68; holding the last value
0.84 / 1.00; repeating features instead of samples 1.8 / 1.6 (the notches ring when the line's
phase jumps).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from models.streaming import Floats

_KEPT_S = Fraction(1, 4)


class Bridge:
    """Remembers the last quarter second and continues it.

    Parameters
    ----------
    fs, line_hz : sampling rate and line frequency, Hz.
    contacts : columns.
    """

    def __init__(self, fs: Fraction, line_hz: float, contacts: int) -> None:
        self._period = float(fs) / line_hz
        self._tail: Floats = np.zeros((int(_KEPT_S * fs) + 2, contacts), np.float32)

    def remember(self, samples: Floats) -> None:
        """Take `(n, contacts)` samples that were decoded."""
        kept, n = len(self._tail), len(samples)
        if n < kept:
            self._tail[:-n] = self._tail[n:]
        self._tail[-n:] = samples[-kept:]

    def across(self, lost: int, after: Floats) -> Floats:
        """Samples `(lost, contacts)`, up to 200 ms, before `after` `(contacts,)`."""
        tail = self._tail
        periods = lost // self._period + 1
        # A period is no whole number of samples, and the sample after the loss needs one too.
        periods += round(periods * self._period) <= lost
        back = round(periods * self._period)
        start = len(tail) - back
        share = (np.arange(1, lost + 1, dtype=np.float32) / (lost + 1))[:, None]
        step_before, step_after = tail[-1] - tail[start - 1], after - tail[start + lost]
        again = tail[start : start + lost]
        joined: Floats = again + step_before * (1 - share) + step_after * share
        return joined
