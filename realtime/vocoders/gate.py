"""A gate on frame energy: a decoder rarely predicts true silence, so its quiet hum is turned down.

A downward expander (Zölzer, DAFX, 2nd ed., section 4.2): below the threshold the level falls
`ratio` times as fast as the frame's own. It opens within the hop, so that onsets are kept, and
closes after a hold with a one-pole release. The gain is a straight line between hops: no step.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log10

import numpy as np
from numpy.typing import NDArray

from models.errors import SettingsError
from models.hops import HOP
from models.mel import VOCODER_FFT, VOCODER_HOP, hann

Doubles = NDArray[np.float64]

_RAMP = np.arange(1, VOCODER_HOP + 1) / VOCODER_HOP
# Parseval for the positive half of a Hann-windowed spectrum: mean square = sum |X|^2 * this.
_MEAN_SQUARE = 2.0 / (VOCODER_FFT * float(np.sum(hann(VOCODER_FFT) ** 2)))


@dataclass(frozen=True)
class GateSettings:
    """Settings of the gate.

    Parameters
    ----------
    enabled : False leaves every frame as it is.
    threshold_dbfs : frame level (RMS over 45 ms, dB re full scale) below which it starts closing.
    ratio : steepness below the threshold, >= 1; 3 means 10 dB lower in gives 30 dB lower out.
    floor_db : gain below which the gate is shut and gives exact silence.
    hold_ms : time it stays open after the last frame above the threshold.
    release_ms : time constant of closing, in dB.

    Raises
    ------
    SettingsError
        If a value is out of its range.
    """

    enabled: bool = True
    threshold_dbfs: float = -60.0
    ratio: float = 3.0
    floor_db: float = -60.0
    hold_ms: float = 45.0
    release_ms: float = 30.0

    def __post_init__(self) -> None:
        for name, ok, expected in (
            ("threshold_dbfs", -120 <= self.threshold_dbfs <= 0, "-120 to 0 dBFS"),
            ("ratio", self.ratio >= 1, "at least 1"),
            ("floor_db", -200 <= self.floor_db < 0, "-200 dB to below 0 dB"),
            ("hold_ms", self.hold_ms >= 0, "0 ms or more"),
            ("release_ms", self.release_ms > 0, "more than 0 ms"),
        ):
            if not ok:
                raise SettingsError(
                    f"gate {name} = {getattr(self, name)}", expected, "correct the vocoder's gate"
                )


def frame_level_dbfs(magnitudes: NDArray[np.floating]) -> float:
    """RMS level of a frame from its linear magnitudes `(361,)`, dB re full scale."""
    return 10.0 * log10(max(float(np.dot(magnitudes, magnitudes)) * _MEAN_SQUARE, 1e-20))


class Gate:
    """The gain of the expander, one frame at a time."""

    def __init__(self, settings: GateSettings) -> None:
        hop_ms = float(HOP * 1000)
        self.settings = settings
        self._keep = exp(-hop_ms / settings.release_ms)
        self._hold_hops = int(settings.hold_ms / hop_ms)
        self.reset()

    def reset(self) -> None:
        """Shut, as before the first frame."""
        self._shut_db = self.settings.floor_db
        self._gain_db = self._shut_db
        self._held = 0
        self._last = 0.0 if self.settings.enabled else 1.0

    def apply(self, chunk: Doubles, magnitudes: NDArray[np.floating]) -> Doubles:
        """Chunk `(240,)` times the gain for the frame of these magnitudes `(361,)`, in place."""
        if not self.settings.enabled:
            return chunk
        gain = self._next_gain(frame_level_dbfs(magnitudes))
        if gain != 1.0 or self._last != 1.0:
            chunk *= self._last + (gain - self._last) * _RAMP
        self._last = gain
        return chunk

    def _next_gain(self, level_dbfs: float) -> float:
        s = self.settings
        wanted = min(0.0, (level_dbfs - s.threshold_dbfs) * (s.ratio - 1.0))
        wanted = max(wanted, s.floor_db)
        if wanted >= self._gain_db:
            self._gain_db = wanted
            self._held = self._hold_hops
        elif self._held > 0:
            self._held -= 1
        else:
            # Aimed below the floor, or the one-pole would only ever approach it.
            target = wanted if wanted > s.floor_db else s.floor_db * 1.5
            self._gain_db = max(target + (self._gain_db - target) * self._keep, s.floor_db)
        shut = self._gain_db <= s.floor_db
        return 0.0 if shut else float(10.0 ** (self._gain_db / 20.0))
