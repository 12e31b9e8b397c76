"""Causal IIR filters in second-order sections, with carried state."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from models.errors import SettingsError
from models.spec import Band, FrontEndSpec

Sections = NDArray[np.float64]


def design_band(spec: FrontEndSpec, band: Band, fs: Fraction) -> Sections:
    """Line-noise notches, then a Butterworth band-pass; shape `(sections, 6)`.

    Notches stand at the line frequency and its harmonics up to one octave beyond the band,
    as far as the rate allows.

    Raises
    ------
    SettingsError
        If the band does not fit below the Nyquist frequency.
    """
    rate = float(fs)
    if band.high_hz >= rate / 2:
        raise SettingsError(
            f"band {band.low_hz:g}-{band.high_hz:g} Hz at {rate:g} Hz",
            f"an upper edge below {rate / 2:g} Hz",
            "lower the band or record at a higher rate",
        )
    passband = signal.butter(
        band.order, [band.low_hz, band.high_hz], btype="bandpass", fs=rate, output="sos"
    )
    return np.concatenate([*_notches(spec, 2 * band.high_hz, rate), passband])


def _notches(spec: FrontEndSpec, up_to_hz: float, rate: float) -> list[Sections]:
    if spec.line_hz == 0:
        return []
    # A notch closer to Nyquist than its own width has no meaning.
    limit = min(up_to_hz, rate / 2 - spec.line_hz / 10)
    harmonics = np.arange(spec.line_hz, limit, spec.line_hz)
    return [signal.tf2sos(*signal.iirnotch(f, spec.notch_q, fs=rate)) for f in harmonics]


class FilterBank:
    """One cascade over many channels, sample by sample the same in any chunking.

    Parameters
    ----------
    sections : `(sections, 6)`.
    channels : number of channels filtered alike.
    """

    def __init__(self, sections: Sections, channels: int) -> None:
        self._sections = np.ascontiguousarray(sections, np.float64)
        self._settled = signal.sosfilt_zi(self._sections)[:, :, None]
        self._state = np.zeros((len(self._sections), 2, channels))

    def reset(self) -> None:
        """Forget all input."""
        self._state[:] = 0.0

    def clear(self, channels: NDArray[np.bool_]) -> None:
        """Zero the state of some channels."""
        self._state[:, :, channels] = 0.0

    def settle(self, channels: NDArray[np.bool_], level: NDArray[np.float64]) -> None:
        """Give some channels the state of having seen `level` for ever: no start transient."""
        self._state[:, :, channels] = self._settled * level[channels]

    def step(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filter `(n, channels)`."""
        if len(x) == 0:
            return x
        y, self._state = signal.sosfilt(self._sections, x, axis=0, zi=self._state)
        return y  # type: ignore[no-any-return]
