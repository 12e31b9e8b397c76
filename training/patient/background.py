"""What contacts record without speech: 1/f background, reference, carriers, mains, amplifier.

All functions return float32 in microvolts, `(samples, contacts of the shaft)` or `(samples,)`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, sosfilt

from training.patient.drive import GRID_HZ
from training.patient.settings import PatientSettings

Floats = NDArray[np.float32]

SLOPE = 2.7
_KNEE_HZ = 1.0
_BACKGROUND_SPREAD, _CARRIER_SPREAD = 2.2, 0.8
_REFERENCE_SHARE = 0.5
_HG_HZ, _BETA_HZ = (60.0, 200.0), (13.0, 30.0)
_ETA_SD, _ETA_HZ = 0.25, 10.0
_HARMONICS = (1.0, 0.3, 0.5)


def spread(contacts: int, width: float) -> NDArray[np.float64]:
    """Gaussian mixing along a shaft, `(contacts, contacts)`; rows of unit length keep the power."""
    distance = np.subtract.outer(np.arange(contacts), np.arange(contacts))
    kernel = np.exp(-0.5 * np.square(distance / width))
    mixing: NDArray[np.float64] = kernel / np.linalg.norm(kernel, axis=1, keepdims=True)
    return mixing


def coloured(
    samples: int, columns: int, fs: float, slope: float, rng: np.random.Generator
) -> Floats:
    """Noise of unit variance whose power falls as 1/f^slope above 1 Hz, flat below."""
    length = next_fast_len(samples, real=True)
    white = rng.standard_normal((columns, length), dtype=np.float32)
    spectrum = rfft(white, axis=1)
    hz = np.arange(spectrum.shape[1]) * fs / length
    shape = np.maximum(hz, _KNEE_HZ) ** (-slope / 2)
    shape[0] = 0
    scale = 1 / np.sqrt(np.mean(np.square(np.concatenate([shape, shape[1:-1]]))))
    out = irfft(spectrum * (shape * scale).astype(np.float32), n=length, axis=1)
    return np.ascontiguousarray(out[:, :samples].T, dtype=np.float32)


def reference(settings: PatientSettings, samples: int) -> Floats:
    """The part every contact shares through the common reference, `(samples,)`."""
    rng = np.random.default_rng([settings.seed, 5])
    trace = coloured(samples, 1, settings.fs_hz, SLOPE, rng)[:, 0]
    return trace * np.float32(settings.background_uv * np.sqrt(_REFERENCE_SHARE))


def shaft_background(settings: PatientSettings, samples: int, shaft: int) -> Floats:
    """1/f^2.7 background, smooth along the shaft."""
    rng = np.random.default_rng([settings.seed, 6, shaft])
    contacts = settings.contacts_per_shaft
    noise = coloured(samples, contacts, settings.fs_hz, SLOPE, rng)
    loudness = settings.background_uv * np.sqrt(1 - _REFERENCE_SHARE)
    loudness = loudness * np.exp(rng.normal(0, 0.2, contacts))
    mixing = spread(contacts, _BACKGROUND_SPREAD) * loudness[:, None]
    mixed: Floats = noise @ mixing.T.astype(np.float32)
    return mixed


def modulated_carriers(
    settings: PatientSettings, samples: int, shaft: int, log_gain: NDArray[np.float64]
) -> Floats:
    """High-gamma and beta carriers of a shaft, their amplitudes following speech.

    Parameters
    ----------
    log_gain : `(frames, contacts of the shaft)` at 200 Hz, log amplitude of high gamma; beta falls
        by `beta_suppression` times it. Zero where a contact knows nothing of speech.
    """
    rng = np.random.default_rng([settings.seed, 7, shaft])
    contacts = settings.contacts_per_shaft
    gamma = _carrier(settings, samples, _HG_HZ, rng) * np.float32(settings.carrier_uv)
    beta = _carrier(settings, samples, _BETA_HZ, rng) * np.float32(settings.beta_uv)
    eta = _slow_noise(len(log_gain), contacts, rng)
    for column in range(contacts):
        gamma[:, column] *= _upsampled(
            np.exp(log_gain[:, column] + eta[:, column]), samples, settings
        )
        if log_gain[:, column].any():
            fall = np.exp(-settings.beta_suppression * log_gain[:, column])
            beta[:, column] *= _upsampled(fall, samples, settings)
    return (gamma + beta) @ spread(contacts, _CARRIER_SPREAD).T.astype(np.float32)


def mains(settings: PatientSettings, samples: int, shaft: int) -> Floats:
    """Line noise and two harmonics, each contact with its own strength (0.5-3 times)."""
    rng = np.random.default_rng([settings.seed, 8, shaft])
    contacts = settings.contacts_per_shaft
    strength = rng.uniform(0.5, 3.0, contacts) * settings.mains_uv
    seconds = np.arange(samples) / settings.fs_hz
    trace = np.zeros((samples, 2), np.float32)
    for harmonic, part in enumerate(_HARMONICS, start=1):
        phase = 2 * np.pi * harmonic * settings.mains_hz * seconds
        trace[:, 0] += part * np.sin(phase)
        trace[:, 1] += part * np.cos(phase)
    angle = rng.uniform(0, 2 * np.pi, contacts)
    mixing = np.stack([np.cos(angle), np.sin(angle)]) * strength * np.sqrt(2)
    hum: Floats = trace @ mixing.astype(np.float32)
    return hum


def amplifier(settings: PatientSettings, samples: int, shaft: int) -> Floats:
    """White noise of the amplifier."""
    rng = np.random.default_rng([settings.seed, 9, shaft])
    noise = rng.standard_normal((samples, settings.contacts_per_shaft), dtype=np.float32)
    return noise * np.float32(settings.amplifier_uv)


def _carrier(
    settings: PatientSettings, samples: int, band: tuple[float, float], rng: np.random.Generator
) -> Floats:
    sections = butter(4, band, "bandpass", fs=settings.fs_hz, output="sos").astype(np.float32)
    white = rng.standard_normal((settings.contacts_per_shaft, samples), dtype=np.float32)
    gain = np.sqrt(settings.fs_hz / (2 * (band[1] - band[0])))
    return np.ascontiguousarray(sosfilt(sections, white, axis=1).T, np.float32) * np.float32(gain)


def _slow_noise(frames: int, contacts: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Fluctuation of log amplitude below 10 Hz, half of its power shared by the shaft."""
    sections = butter(2, _ETA_HZ, fs=GRID_HZ, output="sos")
    noise = sosfilt(sections, rng.standard_normal((frames, contacts + 1)), axis=0)
    noise /= max(float(noise.std()), 1e-9)
    mixed: NDArray[np.float64] = _ETA_SD * np.sqrt(0.5) * (noise[:, :-1] + noise[:, -1:])
    return mixed


def _upsampled(values: NDArray[np.float64], samples: int, settings: PatientSettings) -> Floats:
    grid = np.arange(len(values)) / GRID_HZ
    return np.interp(np.arange(samples) / settings.fs_hz, grid, values).astype(np.float32)
