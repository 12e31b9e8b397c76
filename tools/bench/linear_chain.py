"""A yardstick from the literature: a linear real-time decoder of sEEG, one step every 10 ms.

Angrick et al. 2021, *Real-time synthesis of imagined speech processes from minimally invasive
recordings of neural activity* (Communications Biology 4:1055), written anew from its description:
high gamma by causal IIR filters (band-pass 70-170 Hz, stop bands at 100 and 150 Hz); log power of
50 ms windows every 10 ms, stacked with those of 50, 100, 150 and 200 ms before; a selection of
them; for each of 40 mel bins a linear discriminant over nine energy intervals; the chosen one's
centre as the bin's value; eight iterations of Griffin-Lim on a block of frames.

Weights are random: time does not depend on them. Where the description leaves a choice, the cheaper
one is taken, in the yardstick's favour (150 features; blocks of eight frames of 16 ms).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.signal import butter, sosfilt

from models.hops import HopClock
from models.streaming import Floats
from tools.bench.griffin_lim import BINS_40, RATE, BlockGriffinLim
from tools.bench.rounds import Contestant

CHAIN = "linear_chain"
STEP = Fraction(10, 1000)
STEP_S = float(STEP)
CLASSES, FEATURES = 9, 150
WINDOW_STEPS = CONTEXT_STEPS = 5
CONTEXTS = 5
_WINDOW = 256


class LinearChain:
    """From microvolts to sound in steps of 10 ms.

    Parameters
    ----------
    contacts : columns of the input.
    fs : sampling rate, Hz.
    seed : of the weights and of the input that `contestant` uses.
    """

    def __init__(self, contacts: int, fs: Fraction, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.clock = HopClock(fs, STEP)
        self._sections = _high_gamma(float(fs))
        self._states = np.zeros((len(self._sections), 2, contacts))
        # Powers of 10 ms pieces: of the window, and of all the windows in the context.
        self._powers = np.zeros(((CONTEXTS - 1) * CONTEXT_STEPS + WINDOW_STEPS, contacts))
        selected = min(FEATURES, CONTEXTS * contacts)
        self._selected = np.sort(rng.choice(CONTEXTS * contacts, selected, replace=False))
        self._weights = rng.standard_normal((BINS_40 * CLASSES, selected))
        self._bias = rng.standard_normal(BINS_40 * CLASSES)
        self._centres = np.sort(rng.uniform(-11.0, 0.0, (BINS_40, CLASSES)), axis=1)
        self._vocoder = BlockGriffinLim(int(STEP * RATE), _WINDOW, seed=seed)
        self._contacts, self._seed = contacts, seed

    def step(self, samples: Floats) -> Floats:
        """10 ms of sound, `(160,)` at 16 kHz, from `(n, contacts)` microvolts of 10 ms."""
        return self._vocoder.step(self.decode(self._features(samples)))

    def _features(self, samples: Floats) -> np.ndarray:
        filtered, self._states = sosfilt(self._sections, samples, axis=0, zi=self._states)
        self._powers[:-1] = self._powers[1:]
        self._powers[-1] = np.mean(filtered**2, axis=0)
        # Windows that end now, and 50, 100, 150 and 200 ms ago.
        windows = self._powers.reshape(CONTEXTS, CONTEXT_STEPS, -1).mean(axis=1)
        stacked: np.ndarray = np.log(windows + 1e-6).reshape(-1)[self._selected]
        return stacked

    def decode(self, features: np.ndarray) -> np.ndarray:
        """Log-mel `(40,)` from selected features: each bin the centre of its likeliest interval."""
        scores = (self._weights @ features + self._bias).reshape(BINS_40, CLASSES)
        chosen: np.ndarray = self._centres[np.arange(BINS_40), scores.argmax(axis=1)]
        return chosen

    def contestant(self) -> Contestant:
        """As a contestant, on noise, at its own pace."""
        longest = max(self.clock.end(k) - self.clock.end(k - 1) for k in range(100))
        noise = np.random.default_rng(self._seed).normal(0, 30, (longest, self._contacts))
        block, steps = noise.astype(np.float32), iter(range(1 << 62))

        def step() -> None:
            k = next(steps)
            self.step(block[: self.clock.end(k) - self.clock.end(k - 1)])

        return Contestant(step, 0.5, pace_s=STEP_S)


def _high_gamma(fs: float) -> np.ndarray:
    kept = [butter(4, (70.0, 170.0), "bandpass", fs=fs, output="sos")]
    stops = ((98.0, 102.0), (148.0, 152.0))
    kept += [butter(4, band, "bandstop", fs=fs, output="sos") for band in stops]
    sections: np.ndarray = np.concatenate(kept)
    return sections
