"""The fade of everything that is heard: half a period of a raised cosine."""

from __future__ import annotations

import numpy as np

from models.streaming import Floats


def rise(samples: int) -> Floats:
    """Gain `(samples,)` from silence to full; backwards it is the fall, and both sum to one."""
    path = np.pi * (np.arange(samples) + 0.5) / samples
    gain: Floats = (0.5 - 0.5 * np.cos(path)).astype(np.float32)
    return gain
