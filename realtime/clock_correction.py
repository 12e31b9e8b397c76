"""The offset between the amplifier's clock and ours, asked for beside the data path."""

from __future__ import annotations

import threading
from typing import Protocol

from pylsl.util import InternalError

from models.errors import StreamError
from realtime.inlet import Inlet
from realtime.own_clock import offset_from


class HasClock(Protocol):
    """What can be asked for its clock's offset: an `Inlet`."""

    def time_correction(self, timeout_s: float) -> float:
        """Seconds to add to the sender's timestamps."""
        ...


class ClockCorrection:
    """Asks every few seconds, in a thread of its own, as long as the context lasts.

    LSL probes like NTP (8 UDP exchanges, the shortest round trip wins); the first answer takes
    0.6 s, and where a firewall stops UDP none ever comes: the value then stays None.
    """

    def __init__(self, inlet: HasClock, period_s: float = 3.0, timeout_s: float = 1.0) -> None:
        self._inlet = inlet
        self._period_s, self._timeout_s = period_s, timeout_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="clock-correction", daemon=True)
        self.value: float | None = None
        """Seconds to add to the sender's timestamps; None until the first answer."""
        self.failures = 0
        """Questions without an answer."""

    def __enter__(self) -> ClockCorrection:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.call_off()
        self._thread.join()

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def call_off(self) -> None:
        """Ask no more; a question under way is not waited for."""
        self._stop.set()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                self.value = self._inlet.time_correction(self._timeout_s)
            except (StreamError, InternalError, RuntimeError):
                self.failures += 1
            self._stop.wait(self._period_s)


class SenderClock:
    """Seconds to add to the sender's timestamps to have them on the local LSL clock.

    Zero if the sender has our own clock (see `own_clock`), otherwise as measured, and NaN until
    that is known. One sender may follow another.
    """

    def __init__(self, inlet: Inlet) -> None:
        self._correction: ClockCorrection | None = None
        self.follow(inlet)

    def follow(self, inlet: Inlet) -> None:
        """Ask this sender from now on."""
        self._end()
        self._hostname = inlet.description.hostname
        self._correction = ClockCorrection(inlet)
        self._correction.start()

    @property
    def offset_s(self) -> float:
        """The offset of this moment, seconds."""
        measured_s = self._correction.value if self._correction is not None else None
        offset_s = offset_from(self._hostname, measured_s)
        return float("nan") if offset_s is None else offset_s

    def __enter__(self) -> SenderClock:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def _end(self) -> None:
        # Not waited for: a question under way ends within its timeout.
        if self._correction is not None:
            self._correction.call_off()
