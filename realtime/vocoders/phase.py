"""`phase`: single-pass spectrum inversion with a short synthesis window and no look-ahead.

After Beauregard, Harish & Wyse (2015), *Single pass spectrogram inversion*, IEEE DSP; the spectra
come from `realtime.vocoders.half_hops`. Each is transformed back, freed of its analysis window and
cross-faded into the next over half a hop, so that the output reaches the centre of the newest
frame. The phases are not iterated: Griffin-Lim iterations help on clean mels, but on smoothed ones,
such as decoders give, they lower ESTOI (see `rtisi` in the table of `training.copy_synthesis`).
"""

from __future__ import annotations

import numpy as np

from models.mel import VOCODER_FFT, VOCODER_HOP, hann
from realtime.vocoders.framewise import Doubles, FramewiseVocoder
from realtime.vocoders.gate import GateSettings
from realtime.vocoders.half_hops import HalfHopSpectra

HALF_HOP = VOCODER_HOP // 2


def _fades() -> tuple[Doubles, Doubles]:
    """Fade in before and fade out after a frame's centre, `(120,)` each, over the Hann window."""
    fade = np.sin(np.pi / 2 * (np.arange(HALF_HOP) + 0.5) / HALF_HOP) ** 2
    window, centre = hann(VOCODER_FFT), VOCODER_FFT // 2
    before, after = window[centre - HALF_HOP : centre], window[centre : centre + HALF_HOP]
    return fade / before, (1.0 - fade) / after


class PhaseVocoder(FramewiseVocoder):
    """Single-pass vocoder, latency 7.5 ms; a `Stage` (see `FramewiseVocoder`).

    Parameters
    ----------
    gate : settings of the noise gate; its defaults if None.
    """

    def __init__(self, gate: GateSettings | None = None) -> None:
        super().__init__(gate)
        self._spectra = HalfHopSpectra()
        self._fade_in, self._fade_out = _fades()
        self._tail = np.zeros(HALF_HOP)
        self._chunk = np.empty((2, HALF_HOP))

    def _clear(self) -> None:
        self._spectra.reset()
        self._tail.fill(0.0)

    def _synthesise(self, log_mel: Doubles) -> Doubles:
        # Time zero is the frame's centre: what precedes it wraps to the end of the transform.
        frames = np.fft.irfft(self._spectra.next(log_mel), VOCODER_FFT)
        fading = frames[:, :HALF_HOP] * self._fade_out
        np.multiply(frames[:, -HALF_HOP:], self._fade_in, out=self._chunk)
        self._chunk[0] += self._tail
        self._chunk[1] += fading[0]
        self._tail[:] = fading[1]
        return self._gate.apply(self._chunk.reshape(-1), self._spectra.magnitudes[1])
