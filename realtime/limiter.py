"""The limiter: no sample above a peak, no short stretch above a level, whatever comes in.

Speech made from neural signals can be anything, and a person wears the headphones. Gain is
computed per block of 1 ms and looks one block ahead: with `c[b]` the largest gain that block `b`
may have, the gain runs in a straight line from `min(c[b-1], c[b])` to `min(c[b], c[b+1])`, so it
never exceeds `c[b]` inside block `b` and never jumps (look-ahead limiting as in Giannoulis,
Massberg & Reiss, "Digital dynamic range compressor design", JAES 60(6), 2012, on a block grid).

The operator's gain comes before all that, so that the ceilings hold whatever it is.
"""

from __future__ import annotations

from fractions import Fraction
from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.spec import Model
from models.streaming import Floats

RATE_HZ = 16_000
BLOCK = 16
DELAY = 2 * BLOCK
# Loudness follows the last 10 ms where that is louder than the window: an onset is turned down
# before it has spent the window's energy, and the exact budget below is hardly ever reached.
ONSET_BLOCKS = 10
# A steady tone settles 1 dB under the ceiling; that room is what its onset spent.
SETTLE_POWER = 10 ** (-1.0 / 10)
LOWEST_GAIN_DB, HIGHEST_GAIN_DB = -60.0, 20.0
# A new gain is reached in a straight line over this many samples, 15 ms.
GLIDE = 240


class LimiterSettings(Model):
    """Safety of the person listening; both ceilings can be moved, neither can be taken away."""

    peak: float = Field(0.5, gt=0.0, le=1.0, description="sample peak, of full scale 1.0")
    level_dbfs: float = Field(
        -14.0, ge=-80.0, le=-3.0, description="RMS of any window, dB of full scale 1.0"
    )
    window_ms: float = Field(50.0, ge=10.0, le=200.0, description="window of the RMS, ms")
    release_ms: float = Field(60.0, ge=5.0, le=1000.0, description="time of the gain's return, ms")
    gain_db: float = Field(
        0.0,
        ge=LOWEST_GAIN_DB,
        le=HIGHEST_GAIN_DB,
        description="gain before the limiter until the operator gives another, dB",
    )


class Limiter:
    """Peak and level ceiling for audio at 16 kHz; a `models.streaming.Stage`.

    `step` takes `(n,)` float32 and gives `(n,)` float32, delayed by `latency` (2 ms, first zeros).
    On any input, NaN, infinity and 1e38 included: no output sample exceeds `peak`, and no window of
    `window_ms` has an RMS above `level_dbfs`. A sample that is not finite is silent.
    """

    def __init__(self, settings: LimiterSettings | None = None) -> None:
        self.settings = settings or LimiterSettings()
        # One block more than the window: a window that starts inside a block touches that many.
        self._blocks = int(np.ceil(self.settings.window_ms * RATE_HZ / 1000 / BLOCK)) + 1
        samples = self.settings.window_ms * RATE_HZ / 1000
        # A part in a million stays back for the rounding of float32 output.
        self._budget = samples * 10 ** (self.settings.level_dbfs / 10) * (1 - 1e-6)
        self._share = SETTLE_POWER * self._budget / self._blocks
        self._keep = exp(-1000 * BLOCK / RATE_HZ / self.settings.release_ms)
        self._ramp = np.arange(1, BLOCK + 1) / BLOCK
        self._amplifier = _Amplifier(self.settings.gain_db)
        self.reset()

    @property
    def latency(self) -> Fraction:
        """Delay of the output, 2 ms."""
        return Fraction(DELAY, RATE_HZ)

    @property
    def gain(self) -> float:
        """Gain of the newest block, 0 to 1; below 1 the limiter is at work."""
        return self._gains[1]

    @property
    def gain_db(self) -> float:
        """The operator's gain, before the limiter, dB."""
        return self._amplifier.gain_db

    def amplify(self, gain_db: float) -> None:
        """Glide to this gain over the next 15 ms of audio; -60 to 20 dB, others are clipped."""
        self._amplifier.aim(gain_db)

    def reset(self) -> None:
        """Forget all audio; the next output starts with 2 ms of zeros. The gain stays."""
        self._amplifier.settle()
        self._energies = [0.0] * self._blocks
        self._spent = [0.0] * self._blocks
        self._gains = (1.0, 1.0)
        self._held = np.zeros(BLOCK, dtype=np.float64)
        self._rest = np.zeros(0, dtype=np.float64)
        self._ready = np.zeros(BLOCK, dtype=np.float32)

    def step(self, block: Floats) -> Floats:
        """Limit `(n,)` samples of full scale 1.0; returns `(n,)`, 2 ms late."""
        clean = np.where(np.isfinite(block), block, 0.0).astype(np.float64)
        self._amplifier.apply(clean)
        joined = np.concatenate((self._rest, clean))
        whole = len(joined) // BLOCK * BLOCK
        self._rest = joined[whole:]
        done = self._limit(joined[:whole].reshape(-1, BLOCK))
        queue = np.concatenate((self._ready, done))
        # `_ready` holds one block at the start and `_held` another: together the 2 ms.
        self._ready = queue[len(block) :]
        return queue[: len(block)]

    def _limit(self, blocks: NDArray[np.float64]) -> Floats:
        """Finish the held block and all but the last of `(b, BLOCK)`; hold the last."""
        if len(blocks) == 0:
            return np.zeros(0, dtype=np.float32)
        previous, current = self._gains
        gains = [previous, current, *self._allowed(blocks)]
        knots = np.minimum(gains[:-1], gains[1:])
        audio = np.vstack((self._held[None], blocks[:-1]))
        slope = knots[:-1, None] + np.diff(knots)[:, None] * self._ramp
        self._held = blocks[-1]
        self._gains = (gains[-2], gains[-1])
        limit = np.float32(self.settings.peak)
        # The product may round one step above the ceiling in float32.
        return np.clip((audio * slope).astype(np.float32), -limit, limit).ravel()

    def _allowed(self, blocks: NDArray[np.float64]) -> list[float]:
        """Largest gain of each new block, from peak, loudness, budget and release."""
        peaks = np.abs(blocks).max(axis=1).tolist()
        energies = np.square(blocks).sum(axis=1).tolist()
        allowed, gain = [], self._gains[1]
        for peak, energy in zip(peaks, energies, strict=True):
            gain = min(1.0 - (1.0 - gain) * self._keep, self._demand(peak, energy))
            self._spent.append(gain * gain * energy)
            del self._spent[0], self._energies[0]
            allowed.append(gain)
        return allowed

    def _demand(self, peak: float, energy: float) -> float:
        """Gain that peak, loudness and the window's remaining energy allow one block."""
        if peak == 0.0:
            self._energies.append(0.0)
            return 1.0
        self._energies.append(energy)
        window = self._energies[1:]
        power = max(sum(window) / self._blocks, sum(window[-ONSET_BLOCKS:]) / ONSET_BLOCKS)
        left = max(0.0, self._budget - sum(self._spent[1:]))
        # Energies of samples below 1e-160 vanish: then there is nothing to limit.
        level = sqrt(min(self._share / power, left / energy)) if energy > 0.0 else 1.0
        return min(1.0, self.settings.peak / peak, level)


class _Amplifier:
    """A gain that glides sample by sample, so that blocks of any size give the same."""

    def __init__(self, gain_db: float) -> None:
        self.gain_db = gain_db
        self._from = self._to = 10 ** (gain_db / 20)
        self._done = GLIDE

    def aim(self, gain_db: float) -> None:
        """Begin a glide from where the gain is; what it is bound for already begins none."""
        gain_db = min(max(gain_db, LOWEST_GAIN_DB), HIGHEST_GAIN_DB)
        if gain_db == self.gain_db:
            return
        # Exactly where it arrived: a change taken back before any audio came leaves no trace.
        if self._done >= GLIDE:
            self._from = self._to
        else:
            self._from += (self._to - self._from) * self._done / GLIDE
        self.gain_db = gain_db
        self._to, self._done = 10 ** (self.gain_db / 20), 0

    def settle(self) -> None:
        """Be at the end of the glide."""
        self._done = GLIDE

    def apply(self, audio: NDArray[np.float64]) -> None:
        """Multiply `(n,)` in place; untouched at 0 dB."""
        if self._done < GLIDE:
            reached = self._done + np.arange(1, len(audio) + 1)
            audio *= self._from + (self._to - self._from) * np.minimum(reached, GLIDE) / GLIDE
            self._done = min(self._done + len(audio), GLIDE)
        elif self._to != 1.0:
            audio *= self._to
