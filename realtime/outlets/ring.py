"""Hops on their way from the hop path to the thread that sends them: one writer, one reader.

Preallocated; the writer never waits. Whoever reads too slowly costs hops, which are counted.
"""

from __future__ import annotations

import numpy as np

from models.mel import BANDS, VOCODER_HOP
from realtime.outlets.telemetry import CHANNELS, fill_row
from realtime.pipeline import Hop

SLOTS = 256
"""3.8 s."""


class HopRing:
    """Copies of hops: `times (n,)`, `mel (n, 80)`, `audio (n, 240)`, `telemetry (n, channels)`."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self.times = np.zeros(slots)
        self.mel = np.zeros((slots, BANDS), np.float32)
        self.audio = np.zeros((slots, VOCODER_HOP), np.float32)
        self.telemetry = np.zeros((slots, len(CHANNELS)), np.float32)
        self._written = self._read = 0
        self.overruns = 0
        """Hops that found no room."""
        self.unknown_clock = 0
        """Hops stamped with their arrival, the sender's clock being unknown."""

    def put(self, hop: Hop, handed_over: float, clock_offset: float, late: bool) -> None:
        """Copy a hop; called by the hop path."""
        if self._written - self._read >= self._slots:
            self.overruns += 1
            return
        slot = self._written % self._slots
        time = hop.lsl_time + clock_offset
        known = time == time
        # Arrival is the nearest thing on our own clock; a foreign clock may be off by years.
        self.times[slot] = time if known else hop.available
        self.unknown_clock += not known
        self.mel[slot] = hop.mel
        self.audio[slot] = hop.audio
        fill_row(self.telemetry[slot], hop, handed_over, time, known, late)
        # Last: from here on the slot is the reader's.
        self._written += 1

    def waiting(self) -> slice:
        """Slots that can be read now, up to the ring's end; the rest comes after `done`."""
        start = self._read % self._slots
        return slice(start, min(start + self._written - self._read, self._slots))

    def done(self, slots: slice) -> None:
        """Give slots back to the writer."""
        self._read += slots.stop - slots.start
