"""Once a second beside the hop path: is there sound, is there a log, how much memory."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pylsl

from models.errors import SeegvoxError
from realtime.environment import resident_mb
from realtime.playout.playout import Playout
from realtime.runlog import RunLog

PERIOD_S = 1.0
_MEMORY_EVERY = 10


class Watch:
    """Retries a lost sound device, tells of a failed log, collects DAC times and memory.

    Decoding and recording go on meanwhile, in silence if need be.
    """

    def __init__(self, playout: Playout, log: RunLog, tell: Callable[[str], None]) -> None:
        self._playout, self._log, self._tell = playout, log, tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.resident_mb: list[float] = []
        """Resident memory of this process, MB, every 10 s."""
        self.sound_losses = 0
        self._sound, self._log_told = True, False

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the watch; a retry under way is waited for."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        ticks = 0
        while not self._stop.wait(PERIOD_S):
            if ticks % _MEMORY_EVERY == 0:
                self.resident_mb.append(round(resident_mb(), 1))
            ticks += 1
            self._log.dac_times(self._playout.drain_dac_times())
            self._check_sound()
            self._check_log()

    def _check_sound(self) -> None:
        stats = self._playout.stats()
        if stats.alive:
            return
        if self._sound:
            self._sound = False
            self.sound_losses += 1
            self._say("sound lost", stats.message or "the device stopped taking audio")
        try:
            self._playout.start()
        except SeegvoxError:
            return
        self._sound = True
        self._say("sound back", self._playout.stats().device)

    def _check_log(self) -> None:
        if self._log.fault and not self._log_told:
            self._log_told = True
            self._tell(f"the run is no longer written: {self._log.fault}; decoding goes on")

    def _say(self, event: str, why: str) -> None:
        self._tell(f"{event}: {why}")
        self._log.event(event, pylsl.local_clock(), why=why)
