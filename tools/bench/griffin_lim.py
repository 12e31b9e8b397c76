"""Griffin-Lim on a short block of frames, as the first real-time decoders of speech had it.

Griffin & Lim 1984, algorithm of equation 6, run for a few iterations over the newest frames from
random phases; of each block only the hop in its middle is heard (a block around it is what makes
its phases agree, and what it costs in delay). A yardstick: written for its cost, not for its sound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.mel import filterbank, hann
from models.streaming import Floats

RATE = 16_000
ITERATIONS = 8
BLOCK = 8
BINS_40 = 40


class BlockGriffinLim:
    """Log-mel frames one by one to `hop` samples each, at 16 kHz.

    Parameters
    ----------
    hop : samples per frame.
    fft : samples per window.
    bands : mel bands, 0 to 8 kHz.
    iterations, block : of the algorithm; frames.
    seed : of the phases that each block begins with.
    """

    def __init__(
        self,
        hop: int,
        fft: int,
        bands: int = BINS_40,
        iterations: int = ITERATIONS,
        block: int = BLOCK,
        seed: int = 0,
    ) -> None:
        self._hop, self._fft, self._iterations, self._block = hop, fft, iterations, block
        basis = filterbank(RATE, fft, bands)
        # Transposed and normalised, the usual inversion of a mel matrix.
        self._inverse = basis / np.maximum(basis.sum(axis=0), 1e-12)
        self._window = hann(fft)
        starts = np.arange(block) * hop
        self._index = starts[:, None] + np.arange(fft)[None, :]
        weight = np.zeros(starts[-1] + fft)
        for start in starts:
            weight[start : start + fft] += self._window**2
        self._weight = np.maximum(weight, 1e-6)
        self._magnitudes = np.zeros((block, fft // 2 + 1))
        self._rng = np.random.default_rng(seed)

    @property
    def delay_s(self) -> float:
        """How far the sound lies behind the newest frame, beyond its own hop."""
        return self._block / 2 * self._hop / RATE

    def step(self, log_mel: NDArray[np.floating]) -> Floats:
        """The next hop of sound `(hop,)` from a frame `(bands,)`."""
        self._magnitudes[:-1] = self._magnitudes[1:]
        self._magnitudes[-1] = np.exp(log_mel) @ self._inverse
        phase = self._rng.uniform(-np.pi, np.pi, self._magnitudes.shape)
        signal = self._overlap(self._magnitudes * np.exp(1j * phase))
        for _ in range(self._iterations):
            spectra = np.fft.rfft(signal[self._index] * self._window)
            spectra *= self._magnitudes / (np.abs(spectra) + 1e-12)
            signal = self._overlap(spectra)
        middle = self._block // 2 * self._hop
        return signal[middle : middle + self._hop].astype(np.float32)

    def _overlap(self, spectra: NDArray[np.complexfloating]) -> NDArray[np.float64]:
        frames = np.fft.irfft(spectra, self._fft) * self._window
        signal = np.zeros(len(self._weight))
        for start, frame in zip(self._index[:, 0], frames, strict=True):
            signal[start : start + self._fft] += frame
        return signal / self._weight
