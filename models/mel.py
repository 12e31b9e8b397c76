"""Mel frames: WaveGlow's values on the hop grid.

22 050 Hz, 1024-point FFT and periodic Hann window, 80 Slaney-normalised bands from 0 to 8000 Hz,
natural logarithm clamped at 1e-5 (Prenger et al. 2019, WaveGlow; band shapes after Slaney 1998,
Auditory Toolbox). Frame `k` is centred on audio sample `round((k + 1/2) * 15 ms * 22 050 Hz)`.

Vocoders work at 16 kHz, Hann 720, hop 240; `vocoder_basis` is the mel matrix of that grid, scaled
so that it gives the same values.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.hops import HOP, frame_centre

BANDS = 80
RATE = 22_050
FFT = 1024
FMAX_HZ = 8000.0
FLOOR = 1e-5
LOG_FLOOR = float(np.log(FLOOR))

VOCODER_RATE = 16_000
VOCODER_FFT = 720
VOCODER_HOP = 240

# Slaney's scale: linear below 1 kHz (200/3 Hz per mel), logarithmic above (27 mels per factor 6.4).
_HZ_PER_MEL = 200.0 / 3.0
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0

Doubles = NDArray[np.float64]


def hz_to_mel(hz: Doubles) -> Doubles:
    """Slaney's mel scale."""
    log = _KNEE_MEL + np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _LOG_STEP
    return np.where(hz < _KNEE_HZ, hz / _HZ_PER_MEL, log)


def mel_to_hz(mel: Doubles) -> Doubles:
    """Inverse of `hz_to_mel`."""
    return np.where(
        mel < _KNEE_MEL,
        mel * _HZ_PER_MEL,
        _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _KNEE_MEL) - _KNEE_MEL)),
    )


@cache
def filterbank(rate: int, fft: int, bands: int = BANDS, fmax_hz: float = FMAX_HZ) -> Doubles:
    """Triangular mel bands of equal area, shape `(bands, fft // 2 + 1)`."""
    edges = mel_to_hz(np.linspace(0.0, hz_to_mel(np.array(fmax_hz)), bands + 2))
    bins = np.linspace(0.0, rate / 2, fft // 2 + 1)
    width = np.diff(edges)
    slopes = edges[:, None] - bins[None, :]
    rise = -slopes[:-2] / width[:-1, None]
    fall = slopes[2:] / width[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    basis: Doubles = np.maximum(0.0, np.minimum(rise, fall)) * area[:, None]
    basis.setflags(write=False)
    return basis


@cache
def vocoder_basis() -> Doubles:
    """Mel matrix for 720-point spectra at 16 kHz, `(80, 361)`, giving WaveGlow's values."""
    window_gain = FFT / VOCODER_FFT
    bin_width = (VOCODER_RATE / VOCODER_FFT) / (RATE / FFT)
    basis: Doubles = filterbank(VOCODER_RATE, VOCODER_FFT) * window_gain * bin_width
    basis.setflags(write=False)
    return basis


def hann(length: int) -> Doubles:
    """Periodic Hann window."""
    window: Doubles = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return window


def log_mel(audio: NDArray[np.floating], frames: int | None = None) -> NDArray[np.float32]:
    """Log-mel frames of audio at 22 050 Hz.

    Parameters
    ----------
    audio : `(samples,)`, full scale 1.0, at 22 050 Hz.
    frames : number of hops wanted; all whole hops of the audio if None. Outside the audio: silence.

    Returns
    -------
    `(frames, 80)`, natural log of amplitude, at least ln 1e-5.
    """
    if frames is None:
        frames = int(Fraction(len(audio), RATE) / HOP)
    centres = np.array([frame_centre(k, Fraction(RATE)) for k in range(frames)], dtype=np.int64)
    half = FFT // 2
    last = int(centres[-1]) + half if frames else 0
    padded = np.pad(np.asarray(audio, np.float64), (half, max(0, last + half - len(audio))))
    out = np.empty((frames, BANDS), np.float32)
    window, basis = hann(FFT), filterbank(RATE, FFT)
    for start in range(0, frames, 512):
        index = centres[start : start + 512, None] + np.arange(FFT)[None, :]
        spectrum = np.abs(np.fft.rfft(padded[index] * window, axis=1))
        out[start : start + 512] = np.log(np.maximum(spectrum @ basis.T, FLOOR))
    return out
