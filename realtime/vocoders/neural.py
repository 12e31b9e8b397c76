"""`neural`: a causal network mends what a single pass makes of the mel frames, one by one.

The first spectrum of each frame, its peaks' phases running on from the last, is that of `phase`
(`realtime.vocoders.half_hops`, after Beauregard et al. 2015). A causal network
(`models/networks/vocoder.py`) sees it and the mel frame and gives the spectrum that is transformed
back; the frames of 45 ms overlap-add to sound. Chunk `k` is what frames up to `k` have completed:
it ends where frame `k`'s window leaves off being followed, one hop before its own place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.errors import BundleError
from models.mel import VOCODER_FFT, VOCODER_HOP, hann
from models.vocoder import VocoderFolder, load_vocoder
from realtime.graph import OnnxGraph, StepGraph
from realtime.vocoders.framewise import Doubles, FramewiseVocoder
from realtime.vocoders.gate import GateSettings
from realtime.vocoders.half_hops import Complexes, Floats, HalfHopSpectra
from realtime.vocoders.mel_inversion import BINS

# Squared Hann windows a third of their length apart sum to 9/8.
SYNTHESIS = (hann(VOCODER_FFT) / 1.125).astype(np.float32)
_HALF = VOCODER_FFT // 2
# Other processors round otherwise, and a phase that runs on adds it up; a wrong graph is far off.
TOLERANCE = 0.02


class FirstSpectra:
    """The spectrum `(361,)` that a mel frame begins as; carries the phases of its peaks."""

    def __init__(self) -> None:
        self._spectra = HalfHopSpectra()

    def next(self, log_mel: Doubles) -> Complexes:
        """Spectrum of a finite frame `(80,)`, time zero at its centre."""
        newest: Complexes = self._spectra.next(log_mel)[1]
        return newest

    def reset(self) -> None:
        """Silence before the first frame."""
        self._spectra.reset()


class NeuralVocoder(FramewiseVocoder):
    """Neural vocoder, latency 15 ms; a `Stage` (see `FramewiseVocoder`).

    What is not finite is silence: states are cleared, and `finite` says so until the next block.

    Parameters
    ----------
    graph : its step graph.
    gate : settings of the noise gate; its defaults if None.
    about : what the session's record says of it.
    """

    samples_held_back = VOCODER_HOP // 2

    def __init__(
        self,
        graph: StepGraph,
        gate: GateSettings | None = None,
        about: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(gate)
        self._graph, self._first = graph, FirstSpectra()
        self._mel, self._start = graph.inputs["mel"][0], graph.inputs["start"][0]
        self._made: Floats = graph.outputs["spectrum"][0]
        self._spectrum = np.zeros(BINS, np.complex64)
        self._sum = np.zeros(VOCODER_FFT, np.float32)
        self._about = about or {"name": "neural"}

    @property
    def facts(self) -> dict[str, Any]:
        """Name, folder and hash."""
        return self._about

    def step(self, block: Floats) -> Floats:
        """See `FramewiseVocoder.step`."""
        self.finite = True
        return super().step(block)

    def _clear(self) -> None:
        self._first.reset()
        self._graph.reset()
        self._sum.fill(0.0)

    def _synthesise(self, log_mel: Doubles) -> Doubles:
        first = self._first.next(log_mel)
        self._mel[:] = log_mel
        self._start[0], self._start[1] = first.real, first.imag
        self._graph.run()
        self._spectrum.real, self._spectrum.imag = self._made
        chunk = self._overlap_add()
        if not np.isfinite(chunk).all():
            # Silence before garbage; a state that made garbage would make it for ever.
            self.finite = False
            self.reset()
            return np.zeros(VOCODER_HOP)
        return self._gate.apply(chunk, np.abs(self._spectrum))

    def _overlap_add(self) -> Doubles:
        # Time zero is the frame's centre: what precedes it is at the end of the transform.
        frame = np.fft.irfft(self._spectrum, VOCODER_FFT)
        self._sum[:_HALF] += frame[_HALF:] * SYNTHESIS[:_HALF]
        self._sum[_HALF:] += frame[:_HALF] * SYNTHESIS[_HALF:]
        chunk = self._sum[:VOCODER_HOP].astype(np.float64)
        self._sum[:-VOCODER_HOP] = self._sum[VOCODER_HOP:]
        self._sum[-VOCODER_HOP:] = 0.0
        return chunk


def neural_vocoder(path: Path, gate: GateSettings | None = None) -> NeuralVocoder:
    """The vocoder of a folder, after it has given its golden sound again.

    Raises
    ------
    BundleError
        If the folder is damaged, or this machine makes another sound of its golden frames.
    """
    folder = load_vocoder(path)
    about = {"name": "neural", "path": str(path), "sha256": folder.hash}
    graph = OnnxGraph(folder.graph)
    check_golden_sound(NeuralVocoder(graph, about=about), folder)
    graph.reset()
    return NeuralVocoder(graph, gate, about)


def check_golden_sound(vocoder: NeuralVocoder, folder: VocoderFolder) -> float:
    """One minus the correlation of a vocoder's sound with its folder's golden one.

    Raises
    ------
    BundleError
        If it is more than `TOLERANCE`.
    """
    mel, wanted = folder.golden()
    a, b = vocoder.step(mel).astype(np.float64), wanted.astype(np.float64)
    energy = float(np.sqrt(np.sum(a * a) * np.sum(b * b))) if a.shape == b.shape else 0.0
    departure = 1.0 - float(np.sum(a * b)) / energy if energy > 0 else 1.0
    if not departure <= TOLERANCE:
        raise BundleError(
            f"{folder.path}: golden sound departs by {departure:.2g}",
            f"at most {TOLERANCE:g}",
            "this machine or version computes something else: export the vocoder here",
        )
    return departure
