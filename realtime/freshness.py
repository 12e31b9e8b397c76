"""Is what arrives new enough: what is too old is passed over until data are fresh again."""

from __future__ import annotations

from realtime.events import Emit, Event

# Data no later than a burst and this are fresh.
FRESH_S = 0.15


class Freshness:
    """Decides for one block after another.

    Parameters
    ----------
    emit : is told how much was passed over, once data are fresh again.
    skip_s : older data are passed over, seconds.
    """

    def __init__(self, emit: Emit, skip_s: float) -> None:
        self._emit, self._skip_s = emit, skip_s
        self._skipped = 0
        self.why = ""
        """Of the newest stretch that was passed over, in words."""

    @property
    def skipping(self) -> bool:
        """Whether samples have been passed over and data are not fresh yet."""
        return self._skipped > 0

    def is_fresh(self, age_s: float, burst_s: float) -> bool:
        """Whether data of this age are as new as the amplifier's bursts permit."""
        return age_s < burst_s + FRESH_S

    def too_old(self, age_s: float, burst_s: float, now: float) -> bool:
        """Whether a block is passed over, by the age of its last sample, seconds."""
        if self.skipping and self.is_fresh(age_s, burst_s):
            self._emit(Event("skipped", now, {"samples": self._skipped}))
            self._skipped = 0
            return False
        if not self.skipping and age_s > self._skip_s:
            self.why = f"samples {age_s:.1f} s old were skipped"
            return True
        return self.skipping

    def skip(self, samples: int) -> None:
        """Count samples that were passed over."""
        self._skipped += samples
