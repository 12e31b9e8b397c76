"""Find what was sent in what was captured: where every piece lies, and what differs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import fftconvolve, resample_poly

WINDOW = 1440  # 30 ms at 48 kHz
STRIDE = 480


@dataclass
class Track:
    """Positions (frames at 48 kHz) of pieces of the sent audio in the capture."""

    sent: np.ndarray
    captured: np.ndarray
    likeness: np.ndarray
    residual_db: float

    def jumps_us(self) -> np.ndarray:
        """Change of lag from piece to piece, microseconds; a lost frame is 20.8."""
        return np.diff(self.captured - self.sent) / 48_000 * 1e6


def noise(seconds: float, seed: int = 1) -> np.ndarray:
    """Noise of 100 to 3000 Hz at 16 kHz, peak 0.45: never like itself at another time."""
    count = int(seconds * 16_000) // 240 * 240
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / 16_000)
    spectrum[(frequency < 100) | (frequency > 3000)] = 0
    audio = np.fft.irfft(spectrum, count)
    return (0.45 * audio / np.abs(audio).max()).astype(np.float32)


def follow(capture: np.ndarray, sent: np.ndarray, skip_s: float = 0.1) -> Track:
    """Follow `sent` (16 kHz) through `capture` (48 kHz) from `skip_s` on, piece by piece.

    The first piece is looked for everywhere, each next one within 2 ms of where it must be.
    """
    reference = resample_poly(sent.astype(float), 3, 1)
    starts = np.arange(int(skip_s * 48_000), len(reference) - 2 * WINDOW, STRIDE)
    first = reference[starts[0] : starts[0] + 10 * WINDOW]
    at = float(np.argmax(fftconvolve(capture, first[::-1], mode="valid")))
    found, likeness = [], []
    for start in starts:
        place, like = _near(capture, reference[start : start + WINDOW], round(at))
        found.append(place)
        likeness.append(like)
        at = place + STRIDE
    middles = np.array(found) + WINDOW / 2
    residual = _residual(capture, reference, starts + WINDOW / 2, middles)
    return Track(starts + WINDOW / 2, middles, np.array(likeness), residual)


def _near(capture: np.ndarray, piece: np.ndarray, at: int, reach: int = 96) -> tuple[float, float]:
    low = max(0, at - reach)
    around = capture[low : at + reach + len(piece)].astype(float)
    dots = np.correlate(around, piece, "valid")
    power = np.convolve(around**2, np.ones(len(piece)), "valid")
    like = dots / np.sqrt(np.maximum(power, 1e-12) * (piece @ piece))
    k = int(np.argmax(like[1:-1])) + 1
    left, top, right = like[k - 1 : k + 2]
    return low + k + 0.5 * (left - right) / (left - 2 * top + right), float(top)


def _residual(
    capture: np.ndarray, reference: np.ndarray, sent: np.ndarray, captured: np.ndarray
) -> float:
    """Energy of (capture on the sent time line - sent) over energy of sent, dB."""
    frames = np.arange(int(sent[0]), int(sent[-1]))
    smooth = np.convolve(np.pad(captured - sent, 4, mode="edge"), np.ones(9) / 9, "valid")
    places = frames + np.interp(frames, sent, smooth)
    heard = CubicSpline(np.arange(len(capture)), capture.astype(float))(places)
    wanted = reference[frames]
    return float(10 * np.log10(np.sum((heard - wanted) ** 2) / np.sum(wanted**2)))
