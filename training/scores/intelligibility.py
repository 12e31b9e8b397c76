"""Short-time objective intelligibility, by pystoi."""

from __future__ import annotations

import warnings

import numpy as np

from models.errors import SettingsError, need
from training.scores.arrays import Mels


def stoi_pair(original: Mels, copy: Mels, rate_hz: int) -> tuple[float, float]:
    """STOI (Taal et al. 2011) and ESTOI (Jensen & Taal 2016) of aligned signals `(n,)`.

    Stretches where the original is 40 dB under its loudest are left out by definition. The
    longer signal is cut.

    Raises
    ------
    SettingsError
        If less than 384 ms of speech is left, too little for either to be defined.
    MissingExtraError
        Without the extra `train`.
    """
    stoi = need("pystoi", "train").stoi
    length = min(len(original), len(copy))
    pair = [np.asarray(signal[:length], np.float64) for signal in (original, copy)]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            plain, extended = (stoi(*pair, rate_hz, extended=e) for e in (False, True))
        except RuntimeWarning as err:
            raise _too_short(length / rate_hz) from err
        except ValueError as err:
            # Shorter than one of its frames, pystoi fails on an empty array.
            raise _too_short(length / rate_hz) from err
    return float(plain), float(extended)


def _too_short(seconds: float) -> SettingsError:
    return SettingsError(
        f"{seconds:.2f} s of audio hold too little speech for STOI",
        "at least 384 ms that are not silent",
        "score a longer part",
    )
