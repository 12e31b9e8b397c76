"""The hop clock: which samples, encoder ticks and audio belong to hop k, in exact integers.

15 ms is 15.36 samples at 1024 Hz. Nothing is truncated: hop `k` (0, 1, ...) ends before sample
`ceil((k + 1) * hop * fs)`, counted from the first sample of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

HOP = Fraction(15, 1000)
ENCODER_RATE_HZ = 100


def encoder_stride(fs: Fraction) -> int:
    """Samples per encoder tick, `round(fs / 100 Hz)`: 10 at 1024 Hz."""
    return max(1, round(fs / ENCODER_RATE_HZ))


@dataclass(frozen=True)
class HopClock:
    """Sample and tick arithmetic of one run.

    Parameters
    ----------
    fs : sampling rate of the neural stream, Hz.
    hop : length of a hop, seconds.
    stride : samples per encoder tick; 0 takes `encoder_stride(fs)`.
    """

    fs: Fraction
    hop: Fraction = HOP
    stride: int = 0

    def __post_init__(self) -> None:
        if self.fs <= 0 or self.hop <= 0:
            raise ValueError(f"rate {self.fs} Hz and hop {self.hop} s must be positive")
        if self.stride == 0:
            object.__setattr__(self, "stride", encoder_stride(self.fs))

    def end(self, k: int) -> int:
        """Index of the first sample after hop `k`; `end(-1)` is 0."""
        over, under = self._samples_per_hop
        return -(-(k + 1) * over // under)

    @cached_property
    def _samples_per_hop(self) -> tuple[int, int]:
        # Plain integers: exact fractions cost microseconds on the hop path.
        return (self.hop * self.fs).as_integer_ratio()

    def hops_in(self, samples: int) -> int:
        """Number of whole hops in the first `samples` samples."""
        k = int(samples / (self.hop * self.fs))
        # The quotient is exact; `end` rounds up, so at most one hop fewer is complete.
        return k if k == 0 or self.end(k - 1) <= samples else k - 1

    def ticks(self, k: int) -> int:
        """Number of encoder ticks complete by the end of hop `k`."""
        return self.end(k) // self.stride

    def memory_frames(self, window: Fraction = Fraction(200, 1000)) -> int:
        """Encoder frames in the attention window (20 for 200 ms at 1024 Hz)."""
        return max(1, int(window * self.fs / self.stride))


def frame_centre(k: int, rate: Fraction, hop: Fraction = HOP) -> int:
    """Audio sample at the centre of mel frame `k`: `(k + 1/2) * hop`, rounded half up."""
    return int((k + Fraction(1, 2)) * hop * rate + Fraction(1, 2))
