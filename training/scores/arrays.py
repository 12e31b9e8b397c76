"""Names of array types, and the one check that every score needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.errors import SettingsError

Mels = NDArray[np.floating]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


def same_shape(truth: Mels, prediction: Mels) -> None:
    """Refuse a prediction of another shape.

    Raises
    ------
    SettingsError
        If the shapes differ.
    """
    if truth.shape != prediction.shape:
        raise SettingsError(
            f"truth has shape {truth.shape}, the prediction {prediction.shape}", "the same shape"
        )
