"""What baselines see: high-gamma amplitude in 50 ms windows about each mel frame.

Two kinds. `ZeroPhase` is the public baseline's (Verwoert et al. 2022, Sci Data 9:434): filtered
forth and back, windows before and after the frame; for recordings only. `Causal` runs the bundle's
own front end and averages windows that end with the hop: what a live decoder could have had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.fft import next_fast_len
from scipy.signal import butter, detrend, hilbert, sosfiltfilt

from models.errors import SettingsError
from models.frontend import FrontEnd, Statistics, fit_statistics
from models.hops import HOP
from models.reference import Reference
from models.spec import BundleSpec, FrontEndSpec, Model

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Reals = NDArray[np.floating]
Indices = NDArray[np.int64]

BAND_HZ = (70.0, 170.0)
STOPS_HZ = ((98.0, 102.0), (148.0, 152.0))
WINDOW_S, CONTEXT_S = 0.05, (-0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2)
_BLOCK = 8192


class ContextSpec(Model):
    """Which windows stand about a frame; without future ones the features are causal."""

    past_s: float = Field(0.2, ge=0, description="oldest window before the frame's own")
    future_s: float = Field(0.2, ge=0, description="latest window after it; 0 is causal")
    step_s: float = Field(0.05, gt=0)
    window_s: float = Field(WINDOW_S, gt=0)

    @property
    def causal(self) -> bool:
        """Whether no window lies after the frame."""
        return self.future_s == 0

    @property
    def shifts_s(self) -> tuple[float, ...]:
        """Where the windows stand, earliest first."""
        steps = range(-round(self.past_s / self.step_s), round(self.future_s / self.step_s) + 1)
        return tuple(step * self.step_s for step in steps)

    @property
    def reach_hops(self) -> int:
        """Hops that two frames must be apart to share no sample."""
        return ceil((self.past_s + self.future_s + self.window_s) / float(HOP))


CENTRED = ContextSpec()
PAST = ContextSpec(future_s=0.0)


def high_gamma(seeg: Floats, fs: float) -> Floats:
    """Envelope of 70-170 Hz without mains harmonics, `(samples, contacts)`; zero phase.

    Order-4 Butterworth band-pass and band-stops forth and back, then Hilbert magnitude. Samples
    that are no number are bridged by a straight line; a contact without any number gives zeros.

    Raises
    ------
    SettingsError
        If 170 Hz is not below half the rate.
    """
    if fs <= 2 * BAND_HZ[1]:
        raise SettingsError(f"a rate of {fs:g} Hz", f"more than {2 * BAND_HZ[1]:g} Hz (high gamma)")
    filters = [butter(4, BAND_HZ, "bandpass", fs=fs, output="sos")]
    filters += [butter(4, stop, "bandstop", fs=fs, output="sos") for stop in STOPS_HZ]
    out = np.empty(seeg.shape, np.float32)
    padded = next_fast_len(len(seeg))
    for column in range(seeg.shape[1]):
        trace = detrend(_bridged(seeg[:, column]))
        for sections in filters:
            trace = sosfiltfilt(sections, trace)
        out[:, column] = np.abs(hilbert(trace, padded)[: len(trace)])
    return out


def _bridged(trace: Floats) -> Doubles:
    values = trace.astype(np.float64)
    good = np.isfinite(values)
    if good.all():
        return values
    if not good.any():
        return np.zeros_like(values)
    at = np.arange(len(values))
    bridged: Doubles = np.interp(at, at[good], values[good])
    return bridged


def windowed(envelope: Floats, fs: float, centres_s: Reals) -> Floats:
    """Mean of 50 ms windows about each centre, `(centres, contacts)`; cut at the ends."""
    start = np.floor((centres_s - WINDOW_S / 2) * fs + 1e-6).astype(np.int64)
    return window_means(envelope, start, int(WINDOW_S * fs))


def window_means(envelope: Floats, start: Indices, width: int) -> Floats:
    """Mean of `width` samples from each start on, `(starts, channels)`; cut at the ends."""
    stop = np.clip(start + width, 1, len(envelope))
    start = np.clip(start, 0, len(envelope) - 1)
    count = np.maximum(1, stop - start)
    means = np.empty((len(start), envelope.shape[1]), np.float32)
    total = np.zeros(len(envelope) + 1)
    for column in range(envelope.shape[1]):
        np.cumsum(envelope[:, column], dtype=np.float64, out=total[1:])
        means[:, column] = (total[stop] - total[start]) / count
    return means


def features(envelope: Floats, fs: float, centres_s: Reals) -> Floats:
    """Nine windows about each centre, `(centres, 9 * contacts)`, earliest window first."""
    return np.concatenate(
        [windowed(envelope, fs, centres_s + shift) for shift in CONTEXT_S], axis=1
    )


def hop_features(seeg: Floats, fs: Fraction, frames: int) -> Floats:
    """Features for mel frames on the hop grid, `(frames, 9 * contacts)`. Not causal."""
    return ZeroPhase(fs)(seeg, frames)


@dataclass(frozen=True)
class ZeroPhase:
    """Zero-phase envelopes in windows about the middle of each hop; sees the future."""

    fs: Fraction
    context: ContextSpec = CENTRED
    bad: tuple[int, ...] = ()
    """Columns that are given up; they read zero."""

    def __call__(self, seeg: Floats, hops: int) -> Floats:
        """Features `(hops, windows * contacts)` of `(samples, contacts)`, earliest window first."""
        rate = float(self.fs)
        envelope = high_gamma(seeg, rate)
        envelope[:, list(self.bad)] = 0
        centres = (np.arange(hops) + 0.5) * float(HOP)
        width, half = int(self.context.window_s * rate), self.context.window_s / 2
        starts = [
            np.floor((centres + shift - half) * rate + 1e-6).astype(np.int64)
            for shift in self.context.shifts_s
        ]
        return np.concatenate([window_means(envelope, s, width) for s in starts], axis=1)


@dataclass(frozen=True, eq=False)
class Causal:
    """The bundle's front end, rectified, in windows that end with the hop.

    With a look-ahead of `n` hops the windows of frame `k` end with hop `k + n`, as the network's
    input does.

    Parameters
    ----------
    spec : montage, rate, front end and look-ahead.
    statistics : of the training part, for clipping only.
    """

    spec: BundleSpec
    statistics: Statistics
    context: ContextSpec = PAST

    @classmethod
    def fit(cls, spec: BundleSpec, parts: Sequence[Floats], context: ContextSpec = PAST) -> Causal:
        """Statistics from the training parts, `(samples, contacts)` each."""
        unscaled = FrontEnd(_rectified(spec), spec.contacts, spec.fs_hz)
        return cls(spec, fit_statistics(unscaled, parts), context)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Re-referenced contact of each feature channel, band after band."""
        names = Reference(self.spec.front_end.reference, self.spec.contacts).names
        return tuple(names) * len(self.spec.front_end.bands)

    def __call__(self, seeg: Floats, hops: int) -> Floats:
        """Features `(hops, windows * channels)` of `(samples, contacts)`, earliest window first."""
        clock = self.spec.clock
        ends = np.array([clock.end(k + self.spec.target_lookahead) for k in range(hops)], np.int64)
        rate = float(self.spec.fs_hz)
        width, amplitude = round(self.context.window_s * rate), self._amplitude(seeg)
        starts = [ends - width + round(shift * rate) for shift in self.context.shifts_s]
        return np.concatenate([window_means(amplitude, s, width) for s in starts], axis=1)

    def _amplitude(self, seeg: Floats) -> Floats:
        stage = FrontEnd(
            _rectified(self.spec), self.spec.contacts, self.spec.fs_hz, self.statistics
        )
        blocks = [stage.step(seeg[i : i + _BLOCK]) for i in range(0, len(seeg), _BLOCK)]
        return np.concatenate(blocks)


def _rectified(spec: BundleSpec) -> FrontEndSpec:
    # Means of a raw band signal are nearly zero: amplitude is what a window can hold.
    return spec.front_end.model_copy(update={"rectify": True})
