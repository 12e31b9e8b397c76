"""`rtisi`: real-time iterative spectrogram inversion with one frame of look-ahead.

RTISI-LA (Zhu, Beauregard & Wyse 2007, *Real-time signal estimation from modified short-time Fourier
transform magnitude spectra*, IEEE TASLP 15(5)): the frames that still reach into samples not yet
played are made consistent by Griffin-Lim iterations, with what has been played as a constraint.
Here frames stand every half hop (`realtime.vocoders.half_hops`) and start from single-pass phases
instead of zero, which is worth many iterations. Output reaches one hop before the newest frame's
centre: that hop is the look-ahead.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from models.mel import VOCODER_FFT, VOCODER_HOP, hann
from realtime.vocoders.framewise import Doubles, FramewiseVocoder
from realtime.vocoders.gate import GateSettings
from realtime.vocoders.half_hops import Complexes, HalfHopSpectra
from realtime.vocoders.mel_inversion import BINS

HALF_HOP = VOCODER_HOP // 2
ITERATIONS = 4
# Updates of the mel inversion: consistency asks for truer magnitudes than one pass does.
UPDATES = 10
# Half-hop frames kept open: the newest two hops. Six were no better.
OPEN = 4
# From the start of the oldest open frame to the end of the newest.
SPAN = (OPEN - 1) * HALF_HOP + VOCODER_FFT
# Of these, already played: the oldest open frame starts one hop before the end of what was played.
PLAYED = SPAN - VOCODER_FFT // 2 - 2 * VOCODER_HOP


def _window_sum(window: Doubles) -> Doubles:
    """Sum of the squared windows of all frames so far, open and closed, over the unplayed span."""
    total = np.zeros(SPAN)
    for i in range(-VOCODER_FFT // HALF_HOP, OPEN):
        start = i * HALF_HOP
        total[max(start, 0) : start + VOCODER_FFT] += window[max(-start, 0) :] ** 2
    # Only the very last sample is reached by no window: there the numerator is zero as well.
    return np.maximum(total[PLAYED:], 1e-9)


class RtisiVocoder(FramewiseVocoder):
    """Iterative vocoder, latency 22.5 ms; a `Stage` (see `FramewiseVocoder`).

    Parameters
    ----------
    gate : settings of the noise gate; its defaults if None.
    iterations : Griffin-Lim iterations per hop, >= 0.
    """

    samples_held_back = VOCODER_HOP

    def __init__(self, gate: GateSettings | None = None, iterations: int = ITERATIONS) -> None:
        super().__init__(gate)
        self._iterations = iterations
        self._spectra = HalfHopSpectra(UPDATES)
        self._window = hann(VOCODER_FFT)
        self._weight = _window_sum(self._window)
        # From time zero at the frame's centre to time zero at its first sample.
        self._centring = np.where(np.arange(BINS) % 2, -1.0, 1.0).astype(np.float32)
        self._signal = np.zeros(SPAN)
        stride = self._signal.strides[0]
        self._segments = as_strided(
            self._signal, (OPEN, VOCODER_FFT), (HALF_HOP * stride, stride), writeable=False
        )
        self._closed = np.zeros(SPAN - PLAYED)
        self._magnitudes = np.zeros((OPEN, BINS), np.float32)
        self._frames = np.zeros((OPEN, VOCODER_FFT))

    def _clear(self) -> None:
        self._spectra.reset()
        for state in (self._signal, self._closed, self._magnitudes, self._frames):
            state.fill(0.0)

    def _synthesise(self, log_mel: Doubles) -> Doubles:
        self._advance(self._spectra.next(log_mel) * self._centring)
        self._overlap()
        for _ in range(self._iterations):
            self._refine()
            self._overlap()
        chunk = self._signal[PLAYED : PLAYED + VOCODER_HOP].copy()
        # The chunk ends at the centre of the frame one hop (two half hops) before the newest.
        return self._gate.apply(chunk, self._magnitudes[-3])

    def _advance(self, spectra: Complexes) -> None:
        """Move on by one hop: close the two oldest frames, open the two newest."""
        hop = VOCODER_HOP
        self._signal[:-hop] = self._signal[hop:]
        for i in range(2):
            start = i * HALF_HOP - PLAYED
            self._closed[: start + VOCODER_FFT] += self._frames[i, -start:]
        self._closed[:-hop] = self._closed[hop:]
        self._closed[-hop:] = 0.0
        self._magnitudes[:-2] = self._magnitudes[2:]
        self._magnitudes[-2:] = self._spectra.magnitudes
        self._frames[:-2] = self._frames[2:]
        np.multiply(np.fft.irfft(spectra, VOCODER_FFT), self._window, out=self._frames[-2:])

    def _overlap(self) -> None:
        """Where nothing is played yet: least-squares signal (Griffin & Lim 1984, eq. 6)."""
        unplayed = self._signal[PLAYED:]
        unplayed[:] = self._closed
        for i, frame in enumerate(self._frames):
            start = i * HALF_HOP - PLAYED
            unplayed[max(start, 0) : start + VOCODER_FFT] += frame[max(-start, 0) :]
        unplayed /= self._weight

    def _refine(self) -> None:
        """One iteration: phases of the present signal, magnitudes of the mel frames."""
        spectra = np.fft.rfft(self._segments * self._window)
        spectra *= self._magnitudes / (np.abs(spectra) + 1e-12)
        np.multiply(np.fft.irfft(spectra, VOCODER_FFT), self._window, out=self._frames)
