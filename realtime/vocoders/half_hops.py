"""Spectra every half hop with single-pass phases: what both vocoders start from.

Single-pass spectrum inversion (Beauregard, Harish & Wyse 2015): every spectral peak is a sinusoid
whose phase runs on from the last frame, and the bins around it take its phase (windows centred on
time zero, so that a main lobe has one phase). Four things are done otherwise, each for a reason:

* Peaks are sought in the log-mel bands, not in the inverted spectrum. A Hann main lobe is close to
  a parabola in log amplitude; interpolated between bands, a sine at 0.3-1 kHz is found to 0.8 Hz
  RMS (1-2 kHz: 1.5 Hz), in the inverted spectrum to 2-3 Hz (7 Hz). Resolved harmonics of high
  voices run true with it.
* The phase advances by the mean of the peak's last and present frequency: exact for a linear glide.
* A frame is set half-way between the last and the present one, with the geometric mean of their
  spectra. Cross-fades are then 7.5 ms short, half as long for two phases to disagree in. It lies in
  the past: no look-ahead is needed.
* Above about 1 kHz a region holds several harmonics or noise. With one phase for all its bins, its
  energy is a pulse at the centre of every frame: a 133 Hz buzz, to which STOI is blind (peak over
  mean power within a half hop, above 2 kHz: 6.9; the original 1.3). A fixed group delay, chirps as
  in Schroeder (1970), spreads it over the half hops on either side (1.8) and costs 0.002 ESTOI.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.hops import HOP
from models.mel import (
    BANDS,
    FMAX_HZ,
    LOG_FLOOR,
    VOCODER_FFT,
    VOCODER_RATE,
    hz_to_mel,
    mel_to_hz,
)
from realtime.vocoders.mel_inversion import BINS, UPDATES, MelInversion

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Complexes = NDArray[np.complex64]
Indices = NDArray[np.int64]

_TURN = 2 * np.pi
# Half a hop in radians per Hz, halved again for the mean of two frequencies.
_ADVANCE = float(_TURN * HOP / 2) / 2
_MELS_PER_BAND = float(hz_to_mel(np.array(FMAX_HZ))) / (BANDS + 1)


# Dispersion sets in between these; below, a band resolves the harmonics of most voices.
DISPERSED_HZ = (800.0, 2000.0)
CHIRP_HZ = 1600.0
SPREAD_S = 0.0045

# The two rows of bands lie in one array with a wall on either side of each, lower than any mel:
# `| row 0 | | row 1 |`. Places are counted without the first wall.
_WALL = -1e9
_ROW = BANDS + 2
_PLACES = 2 * BANDS + 2


def _place_of_bins() -> Indices:
    """Place of the last band whose centre is not above each bin, `(2, 361)`, for both rows."""
    hz = np.arange(BINS) * VOCODER_RATE / VOCODER_FFT
    band = np.floor(hz_to_mel(hz) / _MELS_PER_BAND).astype(np.int64) - 1
    band = np.clip(band, 0, BANDS - 1)
    return np.stack([band, band + _ROW])


def band_to_hz(band: Doubles) -> Doubles:
    """Frequency of a fractional band index; band `b` is centred on `band_to_hz(b)`."""
    return mel_to_hz((band + 1) * _MELS_PER_BAND)


def _dispersion() -> Complexes:
    """Phasor `(361,)` whose group delay sweeps 4.5 ms to either side, symmetric about zero."""
    hz = np.arange(BINS) * VOCODER_RATE / VOCODER_FFT
    low, high = DISPERSED_HZ
    depth = np.clip((hz - low) / (high - low), 0.0, 1.0)
    delay_s = SPREAD_S * depth * (2.0 * (hz / CHIRP_HZ % 1.0) - 1.0)
    phase = -_TURN * np.cumsum(delay_s) * VOCODER_RATE / VOCODER_FFT
    phasor: Complexes = np.exp(1j * phase).astype(np.complex64)
    return phasor


def _hz_polynomials() -> Doubles:
    """Frequency around each place as a parabola of the shift in bands, `(3, places)`.

    Within half a band the mel scale differs from it by less than a thousandth, and that only at its
    knee (1 kHz); elsewhere by a millionth.
    """
    bands = (np.arange(_PLACES) % _ROW).astype(np.float64)
    below, at, above = (band_to_hz(bands + shift) for shift in (-0.5, 0.0, 0.5))
    return np.stack([at, above - below, 2 * (above - 2 * at + below)])


class HalfHopSpectra:
    """Two spectra per mel frame, at half a hop before its centre and at its centre.

    Time zero of each is its frame's centre.

    Parameters
    ----------
    updates : multiplicative updates of the mel inversion.
    """

    def __init__(self, updates: int = UPDATES) -> None:
        self._inversion = MelInversion(updates)
        self._place_of_bin = _place_of_bins()
        self._dispersion = _dispersion()
        self._hz_at, self._hz_slope, self._hz_bend = _hz_polynomials()
        self._walled = np.full(_PLACES + 2, _WALL)
        self._halfway, self._newest = self._walled[1 : BANDS + 1], self._walled[_ROW + 1 : -1]
        #: magnitudes `(2, 361)` of the last call: half-way, newest
        self.magnitudes = np.zeros((2, BINS), np.float32)
        self._phase = np.zeros(BANDS)
        self._hz = np.zeros(BANDS)
        self.reset()

    def reset(self) -> None:
        """Silence before the first frame, all phases zero."""
        self._newest.fill(LOG_FLOOR)
        self._inversion.magnitudes(self._newest, self.magnitudes[1])
        self._phase.fill(0.0)
        self._hz.fill(0.0)

    def next(self, log_mel: Doubles) -> Complexes:
        """Spectra `(2, 361)` for a finite frame `(80,)`; the array is the caller's."""
        np.add(self._newest, log_mel, out=self._halfway)
        self._halfway *= 0.5
        self._newest[:] = log_mel
        halfway, newest = self.magnitudes
        halfway[:] = newest
        self._inversion.magnitudes(log_mel, newest)
        halfway *= newest
        np.sqrt(halfway, out=halfway)
        spectra: Complexes = self._phasors().take(self._place_of_bin)
        spectra *= self._dispersion
        spectra *= self.magnitudes
        return spectra

    def _phasors(self) -> Complexes:
        """Unit phasor of every place, `(places,)`; advances the state by one hop."""
        rising = self._walled[1:] > self._walled[:-1]
        before, after = rising[:-1], rising[1:]
        # Peaks and valleys alternate, so counting valleys numbers the regions between them; the
        # walls between the rows are a valley too.
        region: Indices = (before < after).cumsum()
        peaks: Indices = (before > after).nonzero()[0]
        hz = self._peak_hz(peaks)
        split = int(region[BANDS]) + 1
        angle = np.empty(len(peaks))
        angle[:split] = self._run_on(peaks[:split], hz[:split], region[:BANDS])
        second = self._run_on(peaks[split:] - _ROW, hz[split:], region[_ROW:] - split)
        angle[split:] = second
        phasors: Complexes = np.exp(1j * angle).astype(np.complex64).take(region)
        return phasors

    def _peak_hz(self, peaks: Indices) -> Doubles:
        """Frequency of each peak by a parabola through its band and the two beside it."""
        here = self._walled.take(peaks + 1)
        left = here - self._walled.take(peaks)
        right = here - self._walled.take(peaks + 2)
        # A peak is above its left neighbour and not below its right one: the sum is positive.
        shift = 0.5 * (left - right) / (left + right)
        bend = self._hz_slope.take(peaks) + shift * self._hz_bend.take(peaks)
        hz: Doubles = self._hz_at.take(peaks) + shift * bend
        return hz

    def _run_on(self, bands: Indices, hz: Doubles, region: Indices) -> Doubles:
        """Phases of the peaks half a hop on, wrapped; leaves them in the state of their regions."""
        angle: Doubles = self._phase.take(bands) + _ADVANCE * (self._hz.take(bands) + hz)
        angle %= _TURN
        angle.take(region, out=self._phase)
        hz.take(region, out=self._hz)
        return angle
