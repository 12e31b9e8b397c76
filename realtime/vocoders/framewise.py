"""What the streaming vocoders share: shapes, unusable frames, the gate, and the meaning of latency.

Time. Mel frame `k` is centred on `(k + 1/2) * hop` and arrives when hop `k` ends. Chunk `k`, 240
samples, is returned for it at once and takes the place of `[k * hop, (k + 1) * hop)` in the output.
Output sample `n` describes the original signal at `n / 16 000 Hz - latency`; the first sample of
chunk `k` is therefore the original at `k * hop - latency`. A vocoder that emits up to the centre of
its newest frame has a latency of half a hop, 7.5 ms. (Counted from the centre of the newest frame
to the first sample emitted with it, as some papers do, the same delay reads half a hop longer.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import SettingsError
from models.mel import BANDS, LOG_FLOOR, VOCODER_HOP, VOCODER_RATE
from models.streaming import Floats
from realtime.vocoders.gate import Gate, GateSettings

# A full-scale square wave stays below 2; above this a prediction has left the scale, and exp()
# of it could overflow and stay in the state.
LOG_CEILING = 5.0

Doubles = NDArray[np.float64]


class FramewiseVocoder(ABC):
    """A vocoder that turns each mel frame into one chunk of 240 samples; a `Stage`.

    Frames are treated one by one, so any chunking gives the same bits. A frame with a NaN or an
    infinity counts as silence; other values are clipped to the mel's scale.
    """

    #: samples by which the newest emitted sample lies before the centre of the newest frame
    samples_held_back = 0
    #: whether every hop of the last block was numbers; if not, that hop is silent
    finite = True

    def __init__(self, gate: GateSettings | None = None) -> None:
        self._gate = Gate(gate or GateSettings())
        self._frame = np.empty(BANDS, np.float64)
        self._finite = np.empty(BANDS, np.bool_)

    @property
    def facts(self) -> dict[str, Any]:
        """What the record of a session says of it: `name`, and a hash if it has weights."""
        return {"name": type(self).__name__.removesuffix("Vocoder").lower()}

    @property
    def latency(self) -> Fraction:
        """Delay of the output against the original, seconds (see the head of this module)."""
        return Fraction(VOCODER_HOP // 2 + self.samples_held_back, VOCODER_RATE)

    def step(self, block: Floats) -> Floats:
        """Vocode mel frames.

        Parameters
        ----------
        block : `(n, 80)`, natural log of mel amplitude (see `models.mel`), n >= 0.

        Returns
        -------
        `(n * 240,)` float32 audio at 16 kHz, full scale 1.0, not limited.

        Raises
        ------
        SettingsError
            If the block is not of shape `(n, 80)`.
        """
        if block.ndim != 2 or block.shape[1] != BANDS:
            raise SettingsError(
                f"mel frames of shape {block.shape}",
                f"(frames, {BANDS})",
                "check the bundle's number of mel bands",
            )
        audio = np.empty(len(block) * VOCODER_HOP, np.float32)
        for k, frame in enumerate(block):
            audio[k * VOCODER_HOP : (k + 1) * VOCODER_HOP] = self._hop(frame)
        return audio

    def reset(self) -> None:
        """Return to the state of a fresh object: silence before the first frame."""
        self._gate.reset()
        self._clear()

    def _hop(self, frame: Floats) -> Doubles:
        np.isfinite(frame, out=self._finite)
        if np.logical_and.reduce(self._finite):
            np.maximum(frame, LOG_FLOOR, out=self._frame)
            np.minimum(self._frame, LOG_CEILING, out=self._frame)
        else:
            self._frame.fill(LOG_FLOOR)
        return self._synthesise(self._frame)

    @abstractmethod
    def _synthesise(self, log_mel: Doubles) -> Doubles:
        """Next 240 samples, gated, from a clean frame `(80,)`."""

    @abstractmethod
    def _clear(self) -> None:
        """Forget all frames."""
