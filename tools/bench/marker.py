"""A known sound added to what is decoded, so that every hop can be found again, silence too.

Noise of a seed, 64 hops of it, over and over: each hop differs from all others within a second. It
goes through limiter, playout and sound server with the speech.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from models.mel import VOCODER_HOP
from models.streaming import Floats, Stage

HOPS = 64
LEVEL = 0.03
"""RMS of full scale; quiet against speech, and far above 24 bits."""


class Marked:
    """A vocoder with the marker on top; a `Stage` like the one inside.

    Parameters
    ----------
    vocoder : what decodes.
    seed : of the noise.
    """

    def __init__(self, vocoder: Stage, seed: int = 0) -> None:
        self._vocoder = vocoder
        noise = np.random.default_rng(seed).standard_normal((HOPS, VOCODER_HOP))
        self._noise: Floats = (LEVEL * noise).astype(np.float32)
        self._next = 0

    def __getattr__(self, name: str) -> Any:
        """Whatever else the path asks of a vocoder, the one inside answers."""
        return getattr(self._vocoder, name)

    @property
    def latency(self) -> Fraction:
        """Of the vocoder."""
        return self._vocoder.latency

    def step(self, block: Floats) -> Floats:
        """Vocode `(n, 80)` and mark each frame's 240 samples."""
        audio = self._vocoder.step(block)
        for start in range(0, len(audio), VOCODER_HOP):
            audio[start : start + VOCODER_HOP] += self._noise[self._next]
            self._next = (self._next + 1) % HOPS
        return audio

    def reset(self) -> None:
        """A fresh vocoder; the marker goes on, so that no two hops near each other are alike."""
        self._vocoder.reset()
