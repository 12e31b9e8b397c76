"""What goes wrong in a real recording; each function adds to `seeg` in place, in microvolts.

None of it knows of the speech, except the leak (of the audio) and the evoked response (of the cue).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from models.errors import need
from training.patient.session import AUDIO_CLOCK_HZ, Placed
from training.patient.settings import PatientSettings

Floats = NDArray[np.float32]

RAIL_UV = 3200.0
STEP_UV = 0.125
"""Resolution of the simulated converter; a power of two, so stored values are exact and short."""

_LEAKED_SHARE = 0.25
_LEAK_FROM_HZ, _HG_HZ = 75.0, (70.0, 170.0)


def add_drifts(seeg: Floats, settings: PatientSettings) -> None:
    """Slow potentials, knots every 8 s, own to each contact."""
    rng = np.random.default_rng([settings.seed, 10])
    knots = int(len(seeg) / settings.fs_hz / 8) + 2
    values = rng.normal(0, settings.drift_uv, (knots, seeg.shape[1]))
    at = np.arange(len(seeg)) / (settings.fs_hz * 8)
    for column in range(seeg.shape[1]):
        seeg[:, column] += np.interp(at, np.arange(knots), values[:, column]).astype(np.float32)


def multiply_gain_drift(seeg: Floats, settings: PatientSettings) -> None:
    """Amplification that wanders over minutes, own to each contact."""
    rng = np.random.default_rng([settings.seed, 11])
    knots = int(len(seeg) / settings.fs_hz / 60) + 2
    values = np.exp(rng.normal(0, settings.gain_drift, (knots, seeg.shape[1])))
    at = np.arange(len(seeg)) / (settings.fs_hz * 60)
    for column in range(seeg.shape[1]):
        seeg[:, column] *= np.interp(at, np.arange(knots), values[:, column]).astype(np.float32)


def add_spikes(seeg: Floats, settings: PatientSettings) -> None:
    """Epileptic spikes with a slow wave, 200-500 uV, from one focus."""
    rng = np.random.default_rng([settings.seed, 12])
    fs, contacts = settings.fs_hz, settings.contacts_per_shaft
    focus = int(rng.integers(settings.shafts)), float(rng.uniform(0, contacts - 1))
    reach = np.exp(-0.5 * np.square((np.arange(contacts) - focus[1]) / 1.5))
    columns = slice(focus[0] * contacts, (focus[0] + 1) * contacts)
    t = np.arange(round(0.5 * fs)) / fs
    sharp = np.exp(-0.5 * np.square((t - 0.1) / 0.015))
    slow = -0.5 * np.exp(-0.5 * np.square((t - 0.25) / 0.06))
    shape = ((sharp + slow)[:, None] * reach).astype(np.float32)
    for start in _times(settings, len(seeg) - len(t), settings.spikes_per_minute, rng):
        seeg[start : start + len(t), columns] += shape * np.float32(rng.uniform(200, 500))


def add_bursts(seeg: Floats, settings: PatientSettings) -> None:
    """Movement: 0.3-1.5 s of 1-30 Hz noise on a random half of the contacts, about 100 uV."""
    rng = np.random.default_rng([settings.seed, 13])
    sections = butter(4, (1, 30), "bandpass", fs=settings.fs_hz, output="sos")
    for start in _times(settings, len(seeg), settings.bursts_per_minute, rng):
        length = min(round(rng.uniform(0.3, 1.5) * settings.fs_hz), len(seeg) - start)
        if length < 64:
            continue
        noise = sosfiltfilt(sections, rng.standard_normal(length)) * np.hanning(length)
        noise *= 100 / max(float(noise.std()), 1e-9)
        touched = rng.uniform(0.2, 1.0, seeg.shape[1]) * (rng.random(seeg.shape[1]) < 0.5)
        seeg[start : start + length] += np.outer(noise, touched).astype(np.float32)


def add_evoked(seeg: Floats, settings: PatientSettings, placed: Sequence[Placed]) -> None:
    """Response to the visual cue on a tenth of the contacts: -100 ms and +200 ms waves."""
    if settings.evoked_uv == 0:
        return
    rng = np.random.default_rng([settings.seed, 14])
    fs = settings.fs_hz
    columns = rng.permutation(seeg.shape[1])[: max(1, seeg.shape[1] // 10)]
    t = np.arange(round(0.6 * fs)) / fs
    wave = np.exp(-0.5 * np.square((t - 0.2) / 0.05)) - np.exp(-0.5 * np.square((t - 0.1) / 0.03))
    shape = np.outer(wave * settings.evoked_uv, rng.uniform(0.5, 1, len(columns)))
    for item in placed:
        start = round(item.trial.onset_s * fs)
        if start + len(t) <= len(seeg):
            seeg[start : start + len(t), columns] += shape.astype(np.float32)


def add_leak(
    seeg: Floats, settings: PatientSettings, audio: Floats, spoken: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Leak the audio into a quarter of the contacts; returns their columns.

    The level `leak_db` is the leaked audio (75 Hz to Nyquist) against the contact's own 70-170 Hz,
    both root mean square over speech (`spoken`, `(samples,)`).
    """
    if settings.leak_db is None:
        return np.zeros(0, np.int64)
    rng = np.random.default_rng([settings.seed, 15])
    columns = np.sort(rng.permutation(seeg.shape[1])[: round(_LEAKED_SHARE * seeg.shape[1])])
    sound = _at_neural_rate(audio, settings.fs_hz, len(seeg))
    loudness = float(np.sqrt(np.mean(np.square(sound[spoken]))))
    band = butter(4, _HG_HZ, "bandpass", fs=settings.fs_hz, output="sos")
    for column in columns:
        own = sosfiltfilt(band, seeg[:, column].astype(np.float64))[spoken]
        level = float(np.sqrt(np.mean(np.square(own)))) * 10 ** (settings.leak_db / 20)
        seeg[:, column] += (sound * (level / loudness)).astype(np.float32)
    return columns.astype(np.int64)


def break_contacts(
    seeg: Floats, settings: PatientSettings, dead: NDArray[np.int64], saturated: NDArray[np.int64]
) -> None:
    """Dead contacts read a constant; saturated ones jump between the rails."""
    rng = np.random.default_rng([settings.seed, 16])
    seeg[:, dead] = 0
    for column in saturated:
        # Irregular: a periodic artefact would lock to paced words and decode them from nothing.
        jumps = np.sort(rng.integers(0, len(seeg), max(2, len(seeg) // (6 * settings.fs_hz))))
        side = np.searchsorted(jumps, np.arange(len(seeg))) % 2
        seeg[:, column] += ((2 * side - 1) * 4 * RAIL_UV).astype(np.float32)


def convert(seeg: Floats) -> None:
    """Clip at the rails and round to the converter's steps, in place."""
    np.clip(seeg, -RAIL_UV, RAIL_UV, out=seeg)
    np.multiply(seeg, np.float32(1 / STEP_UV), out=seeg)
    np.round(seeg, out=seeg)
    np.multiply(seeg, np.float32(STEP_UV), out=seeg)


def _times(
    settings: PatientSettings, samples: int, per_minute: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    expected = per_minute * samples / settings.fs_hz / 60
    return np.sort(rng.integers(0, max(1, samples), rng.poisson(max(0.0, expected))))


def _at_neural_rate(audio: Floats, fs: int, samples: int) -> NDArray[np.float64]:
    soxr = need("soxr", "formats")
    low = soxr.resample(audio, AUDIO_CLOCK_HZ, float(Fraction(fs)))[:samples].astype(np.float64)
    low = np.pad(low, (0, samples - len(low)))
    sections = butter(4, _LEAK_FROM_HZ, "highpass", fs=fs, output="sos")
    high: NDArray[np.float64] = sosfiltfilt(sections, low)
    return high
