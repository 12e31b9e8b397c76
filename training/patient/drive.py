"""What speech does to an informative contact: on/off, level and articulation, at 200 Hz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from training.patient.contacts import CLASSES, Informative
from training.patient.session import AUDIO_CLOCK_HZ, Placed
from training.speech import Utterance

GRID_HZ = 200
# The one free constant of the recipe, set with the frozen linear baseline only (calibrate.py), so
# that a gain scores what the prototype of this recipe scored with it, artefacts included.
DRIVE_UNIT = 1.5
_QUIET_DB, _LOUD_DB = -60.0, -20.0
_LEVEL_WINDOW_S, _ARTICULATION_WINDOW_S = 0.025, 0.15

# Articulatory classes of the IPA letters espeak-ng uses for Dutch and its neighbours.
_MEMBERS = {
    "labial": "pbmfvʋwβɸ",
    "coronal": "tdnszlrʃʒɹɾθðɲ",
    "dorsal": "kɡgxɣŋjhʁχ",
    "fricative": "fvszxɣʃʒhθðβɸχ",
    "nasal": "mnŋɲ",
    "vowel": "aɑeɛəiɪoɔuʊyʏøœɵæʌɒɐɜ",
    "high": "iɪuʊyʏjw",
    "back": "uʊoɔɑʌɒ",
    "voiced": "bdgɡvzɣʒmnŋɲlrɹɾjʋwðβaɑeɛəiɪoɔuʊyʏøœɵæʌɒɐɜ",
}


@dataclass(frozen=True)
class SpeechFeatures:
    """Speech at 200 Hz, in 0..1: `active` and `level` `(frames,)`, `classes` `(frames, 9)`."""

    active: NDArray[np.float64]
    level: NDArray[np.float64]
    classes: NDArray[np.float64]


def features(
    placed: Sequence[Placed], audio: NDArray[np.float32], seconds: float
) -> SpeechFeatures:
    """Features of a session's speech.

    Articulatory classes come from the phones where these are known (espeak-ng's phoneme events).
    For recordings without alignment the nine columns are shares of energy in nine bands instead.
    """
    frames = int(np.ceil(seconds * GRID_HZ))
    active = np.zeros(frames)
    classes = np.zeros((frames, len(CLASSES)))
    for item in placed:
        start = round(item.onset_s * GRID_HZ)
        active[start : round((item.onset_s + item.utterance.seconds) * GRID_HZ)] = 1
        part = utterance_classes(item.utterance)
        stop = min(frames, start + len(part))
        classes[start:stop] = part[: stop - start]
    width = round(_ARTICULATION_WINDOW_S * GRID_HZ)
    level = _level(audio, frames) * gaussian_filter1d(active, 2.0)
    return SpeechFeatures(active, level, uniform_filter1d(classes, width, axis=0))


def utterance_classes(utterance: Utterance) -> NDArray[np.float64]:
    """`(frames, 9)` in 0..1 at 200 Hz, from phones or, without them, from band energies."""
    if utterance.phones is None:
        return _band_shares(utterance)
    out = np.zeros((int(np.ceil(utterance.seconds * GRID_HZ)), len(CLASSES)))
    for phone in utterance.phones:
        start = max(0, round(phone.onset_s * GRID_HZ))
        stop = max(0, round((phone.onset_s + phone.duration_s) * GRID_HZ))
        out[start:stop] = [float(any(c in _MEMBERS[n] for c in phone.label)) for n in CLASSES]
    return out


def contact_drive(
    speech: SpeechFeatures, informative: Informative, rho: float
) -> NDArray[np.float64]:
    """Drive of each informative contact, `(frames, n)` at 200 Hz, moved by its lag."""
    loud = (speech.active + speech.level) / 2
    drive = (1 - rho) * loud[:, None] + rho * speech.classes @ informative.weights.T
    drive = DRIVE_UNIT * drive
    grid = np.arange(len(loud)) / GRID_HZ
    moved = [
        np.interp(grid - lag, grid, drive[:, i], left=0, right=0)
        for i, lag in enumerate(informative.lags_s)
    ]
    return np.stack(moved, axis=1) if moved else np.zeros((len(loud), 0))


def _level(audio: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
    """Level in 25 ms windows: 0 at -60 dB of full scale, 1 at -20 dB."""
    edges = np.round(np.arange(frames + 1) / GRID_HZ * AUDIO_CLOCK_HZ).astype(np.int64)
    edges = np.minimum(edges, len(audio))
    total = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    power = np.diff(total[edges]) / np.maximum(1, np.diff(edges))
    smooth = uniform_filter1d(power, round(_LEVEL_WINDOW_S * GRID_HZ))
    decibel = 10 * np.log10(np.maximum(smooth, 1e-12))
    level: NDArray[np.float64] = np.clip((decibel - _QUIET_DB) / (_LOUD_DB - _QUIET_DB), 0, 1)
    return level


def _band_shares(utterance: Utterance) -> NDArray[np.float64]:
    hop = utterance.rate / GRID_HZ
    frames, window = int(np.ceil(utterance.seconds * GRID_HZ)), int(0.025 * utterance.rate)
    starts = np.round(np.arange(frames) * hop).astype(np.int64)
    padded = np.pad(utterance.audio, (window // 2, window))
    blocks = padded[starts[:, None] + np.arange(window)] * np.hanning(window)
    power = np.square(np.abs(np.fft.rfft(blocks, axis=1)))
    top = min(8000.0, utterance.rate / 2)
    edges = np.geomspace(100.0, top, len(CLASSES) + 1) * window / utterance.rate
    bins = np.unique(np.round(edges).astype(np.int64))
    energy = np.add.reduceat(power, bins[:-1], axis=1)
    shares = energy / np.maximum(energy.sum(axis=1, keepdims=True), 1e-20)
    return np.pad(shares, ((0, 0), (0, len(CLASSES) - shares.shape[1])))
