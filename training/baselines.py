"""The frozen linear baseline of Verwoert et al. 2022 (Sci Data 9:434), in our own words.

High-gamma envelopes (70-170 Hz, zero phase), nine 50 ms windows from -200 to +200 ms, z-score,
50 principal components of these features, ordinary least squares. It looks 200 ms and more into
the future: a yardstick for recordings, never a decoder. Do not tune it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import butter, decimate, detrend, hilbert, sosfiltfilt

from models.hops import HOP
from training.scores import correlation

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Reals = NDArray[np.floating]

BAND_HZ = (70.0, 170.0)
STOPS_HZ = ((98.0, 102.0), (148.0, 152.0))
WINDOW_S, CONTEXT_S = 0.05, (-0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2)
COMPONENTS = 50
PAPER_HOP = Fraction(10, 1000)
PAPER_BINS, PAPER_FOLDS = 23, 10


def high_gamma(seeg: Floats, fs: float) -> Floats:
    """Envelope of 70-170 Hz without mains harmonics, `(samples, contacts)`; zero phase.

    Order-4 Butterworth band-pass and band-stops forth and back, then Hilbert magnitude.
    """
    out = np.empty(seeg.shape, np.float32)
    padded = next_fast_len(len(seeg))
    for column in range(seeg.shape[1]):
        trace = detrend(seeg[:, column].astype(np.float64))
        trace = sosfiltfilt(butter(4, BAND_HZ, "bandpass", fs=fs, output="sos"), trace)
        for stop in STOPS_HZ:
            trace = sosfiltfilt(butter(4, stop, "bandstop", fs=fs, output="sos"), trace)
        out[:, column] = np.abs(hilbert(trace, padded)[: len(trace)])
    return out


def windowed(envelope: Floats, fs: float, centres_s: Reals) -> Floats:
    """Mean of 50 ms windows about each centre, `(centres, contacts)`; cut at the ends."""
    total = np.concatenate(
        [np.zeros((1, envelope.shape[1])), np.cumsum(envelope, axis=0, dtype=np.float64)]
    )
    start = np.floor((centres_s - WINDOW_S / 2) * fs + 1e-6).astype(np.int64)
    stop = np.clip(start + int(WINDOW_S * fs), 1, len(envelope))
    start = np.clip(start, 0, len(envelope) - 1)
    width = np.maximum(1, stop - start)[:, None]
    means: Floats = ((total[stop] - total[start]) / width).astype(np.float32)
    return means


def features(envelope: Floats, fs: float, centres_s: Reals) -> Floats:
    """Nine windows about each centre, `(centres, 9 * contacts)`, earliest window first."""
    return np.concatenate(
        [windowed(envelope, fs, centres_s + shift) for shift in CONTEXT_S], axis=1
    )


def hop_features(seeg: Floats, fs: Fraction, frames: int) -> Floats:
    """Features for mel frames on the hop grid, `(frames, 9 * contacts)`. Not causal."""
    centres = (np.arange(frames) + 0.5) * float(HOP)
    return features(high_gamma(seeg, float(fs)), float(fs), centres)


@dataclass(frozen=True)
class LinearBaseline:
    """z-score, 50 principal components, least squares; everything from the training part."""

    mean: Doubles
    scale: Doubles
    components: Doubles
    weights: Doubles
    intercept: Doubles

    @classmethod
    def fit(cls, x: Floats, y: Reals, components: int = COMPONENTS) -> LinearBaseline:
        """Fit features `(frames, inputs)` to targets `(frames, outputs)`."""
        mean = x.mean(axis=0, dtype=np.float64)
        scale = x.std(axis=0, dtype=np.float64)
        scale[scale == 0] = 1  # a dead contact stays zero instead of becoming NaN
        z = (x - mean.astype(np.float32)) / scale.astype(np.float32)
        _, vectors = np.linalg.eigh((z.T @ z).astype(np.float64) / len(z))
        basis = vectors[:, ::-1][:, :components]
        scores = z @ basis.astype(np.float32)
        target = y - y.mean(axis=0, dtype=np.float64)
        weights = np.linalg.lstsq(scores.astype(np.float64), target, rcond=None)[0]
        return cls(mean, scale, basis, weights, y.mean(axis=0, dtype=np.float64))

    def predict(self, x: Floats) -> Floats:
        """Targets for features, `(frames, outputs)`."""
        z = (x - self.mean.astype(np.float32)) / self.scale.astype(np.float32)
        through = (self.components @ self.weights).astype(np.float32)
        return (z @ through + self.intercept.astype(np.float32)).astype(np.float32)


def paper_mels(audio: Floats, audio_rate: int = 48_000) -> Doubles:
    """The paper's target: 23 log-mel bins every 10 ms, `(frames, 23)`.

    Decimated to 16 kHz, peak-normalised to 16 bits, 50 ms Hann, magnitudes, filters of sum one,
    natural log of x + 1e-7.
    """
    low = decimate(audio.astype(np.float64), audio_rate // 16_000)
    sound = np.round(low / np.abs(low).max() * 32767)
    window, hop = 800, 160
    frames = (len(sound) - window) // hop
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    basis = _htk_filters(window // 2 + 1, PAPER_BINS, 8000.0)
    out = np.empty((frames, PAPER_BINS))
    for start in range(0, frames, 1024):
        index = np.arange(start, min(frames, start + 1024))[:, None] * hop + np.arange(window)
        out[start : start + 1024] = np.abs(np.fft.rfft(sound[index] * hann, axis=1)) @ basis
    return np.log(out + 1e-7)


def paper_scores(seeg: Floats, fs: float, audio: Floats, gap_s: float = 0.0) -> Doubles:
    """Correlations by the paper's own protocol, `(10 folds, 23 bins)`.

    Ten contiguous folds of 10 ms frames, silence included; the folds touch (`gap_s` 0 is the
    paper, and leaks a little through window and context; a gap purges training frames).
    """
    spectra = paper_mels(audio)
    count = min(len(spectra), int((len(seeg) - WINDOW_S * fs) / (float(PAPER_HOP) * fs)))
    kept = np.arange(20, count - 20)  # frames whose whole context exists
    centres = kept * float(PAPER_HOP) + WINDOW_S / 2
    x, y = features(high_gamma(seeg, fs), fs, centres), spectra[kept]
    out = np.empty((PAPER_FOLDS, PAPER_BINS))
    gap = round(gap_s / float(PAPER_HOP))
    for fold, test in enumerate(np.array_split(np.arange(len(kept)), PAPER_FOLDS)):
        train = np.r_[0 : max(0, test[0] - gap), min(len(kept), test[-1] + 1 + gap) : len(kept)]
        model = LinearBaseline.fit(x[train], y[train])
        out[fold] = correlation(y[test], model.predict(x[test]))
    return out


def _htk_filters(bins: int, bands: int, top_hz: float) -> Doubles:
    """Triangles on O'Shaughnessy's mel scale, `(bins, bands)`, each of sum one."""
    top = 2595 * np.log10(1 + top_hz / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    hz = np.linspace(0, top_hz, bins)[:, None]
    rise = (hz - edges[:-2]) / np.diff(edges)[:-1]
    fall = (edges[2:] - hz) / np.diff(edges)[1:]
    shapes = np.maximum(0, np.minimum(rise, fall))
    filters: Doubles = shapes / shapes.sum(axis=0)
    return filters
