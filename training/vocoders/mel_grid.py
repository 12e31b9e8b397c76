"""From the 15 ms hop grid to WaveGlow's grid of 256 samples at 22 050 Hz (11.61 ms).

Cubic splines in time: on real speech the log-mels are then .09 nepers from those computed on the
finer grid, .11 by straight lines, and sound audibly better (NOTES-streaming-vocoder, 3.4).
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from models.hops import HOP
from models.mel import BANDS, LOG_FLOOR, RATE
from models.streaming import Floats

WAVEGLOW_HOP = 256
LEAST_FRAMES = 2


def samples_of(hops: int) -> int:
    """Samples at 22 050 Hz in so many hops, `330.75` each, rounded."""
    return round(hops * HOP * RATE)


def to_waveglow_grid(mel: Floats) -> Floats:
    """Frames every 256 samples from frames every 15 ms.

    Frame `j` is centred on sample `256 j`; before the first centre and after the last the outermost
    frame holds. A spline may undershoot: nothing is under the floor of the mel.

    Parameters
    ----------
    mel : `(hops, 80)`.

    Returns
    -------
    `(frames, 80)` float32, enough to cover all hops.
    """
    frames = -(-samples_of(len(mel)) // WAVEGLOW_HOP)
    if len(mel) < LEAST_FRAMES:
        return np.repeat(mel, frames, axis=0).astype(np.float32).reshape(frames, BANDS)
    centres = (np.arange(len(mel)) + 0.5) * float(HOP)
    times = np.clip(np.arange(frames) * WAVEGLOW_HOP / RATE, centres[0], centres[-1])
    made = CubicSpline(centres, np.asarray(mel, np.float64), axis=0)(times)
    floored: Floats = np.maximum(made, LOG_FLOOR).astype(np.float32)
    return floored
