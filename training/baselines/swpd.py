"""The public baseline of SingleWordProductionDutch, by its authors' own protocol.

Verwoert et al. 2022, Sci Data 9:434; every step follows what their published scripts do: high gamma
of 50 ms windows every 10 ms, nine windows from -200 to +200 ms, 23 log-mel bins, ten contiguous
folds that touch, z-score and 50 principal components of training, ordinary least squares, Pearson r
per bin and fold over all frames. An independent run of the published scripts gave .5200 on sub-01.

    seegvox evaluate sub-01_task-wordProduction_ieeg.nwb --public-baseline

Not to be copied as practice: the audio is peak-normalised over the session, filters and context
cross the borders of the folds, and silence counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import decimate

from models.errors import RecordingError
from realtime.recordings import Recording, listed_channels, read_recording
from training.baselines.envelopes import CONTEXT_S, WINDOW_S, Doubles, Floats, high_gamma, windowed
from training.baselines.least_squares import LinearBaseline
from training.scores import correlation

PAPER_HOP = Fraction(10, 1000)
PAPER_BINS, PAPER_FOLDS, PAPER_DRAWS = 23, 10, 1000
_RATE, _TOP_HZ, _WINDOW = 16_000, 8000.0, 800
_HOP_SAMPLES = int(PAPER_HOP * _RATE)
_REACH = round(CONTEXT_S[-1] / float(PAPER_HOP))
_STEP = round((CONTEXT_S[1] - CONTEXT_S[0]) / float(PAPER_HOP))
SUB_01 = 0.5200
"""What an independent run of the authors' scripts gave on the public recording of sub-01."""


@dataclass(frozen=True)
class PublicBaseline:
    """Scores by the authors' protocol.

    `folds` is `(10, 23)`; `chance` `(1000, 23)`: the spectrogram against itself, rolled.
    """

    folds: Doubles
    chance: Doubles

    @property
    def r(self) -> float:
        """Mean over folds and bins: the published figure."""
        return float(self.folds.mean())

    @property
    def chance_95(self) -> float:
        """95 % of the chance level, of its mean over bins."""
        return float(np.quantile(self.chance.mean(axis=1), 0.95))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        per_fold = self.folds.mean(axis=1).tolist()
        return {"r": self.r, "chance_95": self.chance_95, "folds": per_fold}


def read_public(path: Path | str, options: Mapping[str, Any] | None = None) -> Recording:
    """A recording as the authors' scripts take it: every column of iEEG, its whole length.

    Parameters
    ----------
    options : of `read_recording`, where something must be said of the file.

    Raises
    ------
    RecordingError, SettingsError
        As `read_recording`.
    """
    given = dict(options or {})
    if given.get("contacts") is None:
        given["contacts"] = listed_channels(path)
    return read_recording(path, **given)


def public_baseline(recording: Recording, seed: int = 0) -> PublicBaseline:
    """Run the authors' protocol on a recording.

    Their scripts take both rates as nominal and both streams as starting together; so does this.

    Raises
    ------
    RecordingError
        If the audio is not at 48 kHz (nominally), or starts more than a window beside the sEEG.
    """
    if abs(recording.audio_rate - 48_000) > 48:
        raise RecordingError(
            f"audio at {recording.audio_rate:g} Hz", "48000 Hz, as the public recordings have"
        )
    if abs(recording.audio_start_s) > WINDOW_S:
        raise RecordingError(
            f"audio that starts {recording.audio_start_s:.3f} s after the sEEG",
            "a common start, which the authors' protocol takes for granted",
        )
    folds = paper_scores(recording.seeg[:], float(recording.fs), recording.audio)
    return PublicBaseline(folds, paper_chance(paper_mels(recording.audio), seed=seed))


def paper_mels(audio: Floats, audio_rate: int = 48_000) -> Doubles:
    """The paper's target: 23 log-mel bins every 10 ms, `(frames, 23)`.

    Decimated to 16 kHz, peak-normalised to 16 bits, 50 ms periodic Hann, magnitudes, filters of
    sum one, natural log of x + 1e-7.
    """
    low = decimate(audio.astype(np.float64), audio_rate // _RATE)
    sound = np.trunc(low / np.abs(low).max() * 32767)
    frames = (len(sound) - _WINDOW) // _HOP_SAMPLES
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    basis = paper_filters()
    out = np.empty((frames, PAPER_BINS))
    for start in range(0, frames, 1024):
        rows = np.arange(start, min(frames, start + 1024))[:, None]
        index = rows * _HOP_SAMPLES + np.arange(_WINDOW)
        out[start : start + 1024] = np.abs(np.fft.rfft(sound[index] * hann, axis=1)) @ basis
    return np.log(out + 1e-7)


def paper_filters() -> Doubles:
    """Triangles on HTK's mel scale, `(401, 23)`, each of sum one.

    Their corners are whole bins: hertz are rounded down, then bins (of 401 up to 8 kHz) are.
    """
    bins = _WINDOW // 2 + 1
    top = 2595 * np.log10(1 + _TOP_HZ / 700)
    hz = 700 * (10 ** (np.linspace(0, top, PAPER_BINS + 2) / 2595) - 1)
    # Rounding of the logarithm must not take the last corner below 8 kHz.
    corners = [floor(floor(edge + 1e-6) / _TOP_HZ * bins) for edge in hz]
    filters = np.zeros((bins, PAPER_BINS))
    for band in range(PAPER_BINS):
        start, centre, stop = corners[band : band + 3]
        filters[start:centre, band] = (np.arange(start, centre) - start) / (centre - start)
        filters[centre:stop, band] = (stop - np.arange(centre, stop)) / (stop - centre)
    normalised: Doubles = filters / filters.sum(axis=0)
    return normalised


def paper_features(seeg: Floats, fs: float) -> Floats:
    """Stacked features of every 10 ms frame with whole context, `(frames, 9 * contacts)`."""
    hop = float(PAPER_HOP)
    count = floor((len(seeg) - WINDOW_S * fs) / (hop * fs))
    windows = windowed(high_gamma(seeg, fs), fs, np.arange(count) * hop + WINDOW_S / 2)
    kept = np.arange(_REACH, count - _REACH)
    shifts = range(-_REACH, _REACH + 1, _STEP)
    return np.concatenate([windows[kept + shift] for shift in shifts], axis=1)


def paper_scores(seeg: Floats, fs: float, audio: Floats, gap_s: float = 0.0) -> Doubles:
    """Correlations by the paper's own protocol, `(10 folds, 23 bins)`.

    Ten contiguous folds of 10 ms frames, silence included; the folds touch (`gap_s` 0 is the
    paper, and leaks a little through window and context; a gap purges training frames).
    """
    x, y = paper_features(seeg, fs), paper_mels(audio)[_REACH:]
    count = min(len(x), len(y) - _REACH)
    x, y = x[:count], y[:count]
    out = np.empty((PAPER_FOLDS, PAPER_BINS))
    gap = round(gap_s / float(PAPER_HOP))
    for fold, test in enumerate(np.array_split(np.arange(count), PAPER_FOLDS)):
        train = np.r_[0 : max(0, test[0] - gap), min(count, test[-1] + 1 + gap) : count]
        model = LinearBaseline.fit(x[train], y[train])
        out[fold] = correlation(y[test], model.predict(x[test]))
    return out


def paper_chance(spectra: Doubles, draws: int = PAPER_DRAWS, seed: int = 0) -> Doubles:
    """The paper's chance: spectra `(frames, bins)` against themselves rolled, `(draws, bins)`.

    Rolled by a random 10 to 90 % of their length. Rolling changes neither mean nor variance, so
    all shifts come from one circular autocorrelation.
    """
    n = len(spectra)
    centred = spectra - spectra.mean(axis=0)
    power = np.square(np.abs(rfft(centred, axis=0)))
    every = irfft(power, n=n, axis=0) / np.maximum(np.square(centred).sum(axis=0), 1e-30)
    points = np.random.default_rng(seed).integers(int(n * 0.1), int(n * 0.9), draws)
    chance: Doubles = every[points]
    return chance
