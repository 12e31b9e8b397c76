"""Beside the hop path: is there sound, when was it heard, how much memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pylsl
from numpy.typing import NDArray

from models.errors import SeegvoxError
from realtime.environment import resident_mb
from realtime.events import Emit, Event
from realtime.playout.playout import Playout

PERIOD_S = 0.25
# Each try starts a player, a third of a second of one core at ordinary priority.
RETRY_S = 1.0
MEMORY_S = 10.0


class Watch:
    """Retries a lost sound device, collects DAC times and memory.

    Decoding and recording go on meanwhile, in silence if need be. A device that does not take
    audio for a second (`playout.BEAT_LIMIT_S`) counts as lost: with JACK's server gone its
    clients hang for good. Its player is a process, and is killed. A new player follows whatever
    rate the device then has, unless `PlayoutSettings.rate` asks for one.

    Parameters
    ----------
    playout : started.
    dac_times : takes rows (hop, time), as `Playout.drain_dac_times` gives them.
    emit : is given `sound lost`, `sound still lost`, `sound back`.
    """

    def __init__(
        self, playout: Playout, dac_times: Callable[[NDArray[np.float64]], None], emit: Emit
    ) -> None:
        self._playout, self._dac_times, self._emit = playout, dac_times, emit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.resident_mb: list[float] = []
        """Resident memory of this process, MB, every 10 s."""
        self.sound_losses = 0
        self.sound = True
        """Whether the device takes audio."""
        self._why = ""
        self._lost_at = self._next_try = 0.0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the watch; a retry under way is given up."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        ticks = 0
        while not self._stop.wait(PERIOD_S):
            if ticks % round(MEMORY_S / PERIOD_S) == 0:
                self.resident_mb.append(round(resident_mb(), 1))
            ticks += 1
            self._dac_times(self._playout.drain_dac_times())
            self._check_sound()

    def _check_sound(self) -> None:
        stats, now = self._playout.stats(), time.monotonic()
        if stats.alive:
            return
        if self.sound:
            self.sound = False
            self.sound_losses += 1
            self._lost_at = self._next_try = now
            self._why = stats.message or "the device stopped taking audio"
            self._say("sound lost", why=self._why)
        if now >= self._next_try:
            self._retry()

    def _retry(self) -> None:
        try:
            self._playout.start(self._stop.is_set)
        except (SeegvoxError, OSError, RuntimeError) as err:
            self._next_try = time.monotonic() + RETRY_S
            self._still_lost(str(err))
            return
        self.sound = True
        device, silent = self._playout.stats().device, time.monotonic() - self._lost_at
        self._say("sound back", why=device, silent_s=round(silent, 3))

    def _still_lost(self, why: str) -> None:
        """Tell why a try failed, once for each reason."""
        if why != self._why and not self._stop.is_set():
            self._why = why
            self._say("sound still lost", why=why)

    def _say(self, event: str, why: str, **details: Any) -> None:
        self._emit(Event(event, pylsl.local_clock(), {"why": why, **details}))
