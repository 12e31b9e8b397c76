"""How near a copy is to the sound or the mel frames that it was made of.

PESQ is not among the scores: its one package (`pesq` 0.0.4, 2022) has no wheels and wraps ITU's
reference code, whose licence is not free. In its place stands the log-spectral distance, which like
PESQ looks at the fine spectrum frame by frame, where STOI looks at envelopes over 384 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.errors import need
from models.mel import RATE, VOCODER_FFT, VOCODER_HOP, VOCODER_RATE, hann, log_mel
from models.streaming import Floats
from training.copy_synthesis import buzz
from training.scores.arrays import Doubles
from training.scores.cepstra import distortion_db
from training.scores.intelligibility import stoi_pair
from training.scores.pearson import mel_r

# Frames whose loudest band is within this of the loudest of all, nepers (40 dB): the rest is
# silence, where a log ratio of two noise floors would count as much as speech.
LOUD = 4.6
# Power spectrum under the loudest bin that is inaudible beside it, for the log-spectral distance.
FLOOR_DB = 60.0


@dataclass(frozen=True)
class CopyScores:
    """A copy against its original; the first two and the last are None without one.

    `mel_error` mean absolute difference of log-mels, nepers, over speech; `mel_r` over time, mean
    over bands; `mcd_db` mel-cepstral distortion over speech; `buzz` the power above 2 kHz folded
    over half hops, peak over mean; `lsd_db` root mean square of log spectra over speech.
    """

    stoi: float | None
    estoi: float | None
    mel_error: float
    mel_r: float
    mcd_db: float
    buzz: float
    lsd_db: float | None


def score_copy(mel: Floats, copy: Floats, original: Floats | None = None) -> CopyScores:
    """Score `copy` `(n,)` at 16 kHz, aligned with mel frames `(hops, 80)` and their sound.

    Raises
    ------
    SettingsError
        If there is too little speech.
    """
    soxr = need("soxr", "formats")
    hops = len(mel)
    copy = np.pad(copy, (0, max(0, hops * VOCODER_HOP - len(copy))))[: hops * VOCODER_HOP]
    again = log_mel(soxr.resample(copy, VOCODER_RATE, RATE), hops)
    spoken = mel.max(axis=1) > mel.max() - LOUD
    stoi, estoi = (None, None) if original is None else stoi_pair(original, copy, VOCODER_RATE)
    return CopyScores(
        stoi,
        estoi,
        float(np.abs(again[spoken] - mel[spoken]).mean()),
        mel_r(mel, again),
        distortion_db(mel, again, spoken),
        buzz(copy),
        None if original is None else log_spectral_distance_db(original, copy),
    )


def log_spectral_distance_db(original: Floats, copy: Floats) -> float:
    """Root mean square difference of log power spectra over the original's loud frames, dB.

    Gray & Markel 1976, the `L2` distance, averaged over frames; bins more than 60 dB under the
    original's loudest are raised to there in both.
    """
    a, b = (_power_db(signal) for signal in (original, copy))
    floor = a.max() - FLOOR_DB
    loud = a.max(axis=1) > a.max() - 40.0
    difference = np.maximum(a, floor)[loud] - np.maximum(b, floor)[loud]
    return float(np.sqrt((difference**2).mean(axis=1)).mean())


def _power_db(signal: Floats) -> Doubles:
    frames = np.lib.stride_tricks.sliding_window_view(signal, VOCODER_FFT)[::VOCODER_HOP]
    power = np.abs(np.fft.rfft(frames * hann(VOCODER_FFT), axis=1)) ** 2
    decibels: Doubles = 10 * np.log10(power + 1e-12)
    return decibels


def to_vocoder_rate(audio: Floats, rate_hz: int) -> Floats:
    """Sound `(n,)` at 16 kHz."""
    if rate_hz == VOCODER_RATE:
        return audio
    resampled: Floats = need("soxr", "formats").resample(audio, rate_hz, VOCODER_RATE)
    return resampled
