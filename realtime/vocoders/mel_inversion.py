"""Mel amplitudes back to the linear spectrum, by multiplicative updates.

Richardson (1972) and Lucy (1974) updates, which are also those of non-negative matrix factorisation
under the Kullback-Leibler divergence with the basis fixed (Lee & Seung 2001, eq. 5): with `B` the
mel matrix and `m` the amplitudes, `x <- x * (B^T (m / (B x))) / (B^T 1)`. Few updates spread the
amplitude smoothly over a band; convergence would make it spiky without sounding better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.mel import BANDS, VOCODER_FFT, vocoder_basis

BINS = VOCODER_FFT // 2 + 1
UPDATES = 3

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]


class MelInversion:
    """Linear magnitudes of the 16 kHz / 720-point grid from one log-mel frame at a time.

    Parameters
    ----------
    updates : multiplicative updates per frame, >= 1; the first sets the level.
    """

    def __init__(self, updates: int = UPDATES) -> None:
        basis = vocoder_basis()
        reached = basis.sum(axis=0)
        # Bins no band reaches (0 Hz, 8 kHz) stay at zero.
        scale = np.divide(1.0, reached, out=np.zeros(BINS), where=reached > 0)
        self._updates = updates
        # In z = x * (B^T 1) the updates need one matrix for both directions; at the paced cadence
        # its bytes come from far away.
        self._basis = np.ascontiguousarray(basis * scale, np.float32)
        self._scale = scale.astype(np.float32)
        self._mel = np.empty(BANDS, np.float32)
        self._ratio = np.empty(BANDS, np.float32)
        self._bins = np.empty(BINS, np.float32)

    def magnitudes(self, log_mel: Doubles, out: Floats) -> None:
        """Write the magnitudes `(361,)` of a finite log-mel frame `(80,)` to `out`."""
        np.exp(log_mel, out=self._mel, casting="same_kind")
        np.dot(self._mel, self._basis, out=out)
        for _ in range(self._updates):
            np.dot(self._basis, out, out=self._ratio)
            np.divide(self._mel, self._ratio, out=self._ratio)
            np.dot(self._ratio, self._basis, out=self._bins)
            np.multiply(out, self._bins, out=out)
        np.multiply(out, self._scale, out=out)
