"""The playout stage: from 16 kHz hops to the DAC, with a delay that stays where it was set."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.errors import AudioError
from models.streaming import Floats
from realtime import child
from realtime.child import shared_memory
from realtime.playout.exchange import SIZE, Count, Exchange, Status, Value
from realtime.playout.process import play
from realtime.playout.settings import RATE_HZ, PlayoutSettings, PlayoutStats
from realtime.playout.sinks import check_free

# A player that has not moved for this long hangs in its device.
BEAT_LIMIT_S = 1.0
STOP_LIMIT_S = 2.0
_ROOT = Path(__file__).resolve().parents[2]


class Playout:
    """Plays hops of 16 kHz audio; one thread pushes, a process or thread of its own plays.

    Parameters
    ----------
    settings : sink, target delay and host.
    clock : gives the times of `drain_dac_times`; on Linux `pylsl.local_clock` and
        `time.monotonic` are the same clock (agreed within 1 us here), others are converted.
    """

    def __init__(
        self, settings: PlayoutSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings, self._clock = settings, clock
        self._memory = shared_memory("seegvox-playout", SIZE)
        self._x = Exchange(mmap.mmap(self._memory.fileno(), SIZE))
        self._host: _ProcessHost | _ThreadHost | None = None
        self._dacs = 0

    def start(self, give_up: Callable[[], bool] = lambda: False) -> None:
        """Open the sink and begin in silence; takes as long as the device takes.

        May be called again after `stop`, or after a device was lost: a player that is stuck in
        it is killed at once. `give_up` is asked while waiting.

        Raises
        ------
        AudioError
            If PortAudio or the device is missing or refuses, or takes longer than
            `start_timeout_s`.
        BusyOutputError
            If the WAV file exists.
        """
        if not self._alive():
            self._end(0.0)
        self.stop()
        if self.settings.sink == "wav" and self.settings.wav is not None:
            check_free(self.settings.wav, self.settings.overwrite)
        self._x.counts[Count.STOP] = 0
        self._x.counts[Count.STATUS] = Status.OPENING
        self._x.message = ""
        host = _ProcessHost if self.settings.host == "process" else _ThreadHost
        self._host = host(self._x, self._memory.fileno(), self.settings)
        end = time.monotonic() + self.settings.start_timeout_s
        while self._x[Count.STATUS] == Status.OPENING and self._host.running():
            if time.monotonic() > end or give_up():
                break
            time.sleep(0.005)
        if self._x[Count.STATUS] != Status.RUNNING:
            raise AudioError(self._fail())

    def _fail(self) -> str:
        assert self._host is not None
        waiting = self._x[Count.STATUS] == Status.OPENING and self._host.running()
        seconds = self.settings.start_timeout_s
        late = f"the sound device did not open within {seconds:g} s" if waiting else ""
        message = late or self._x.message or self._host.last_words()
        self._host.end(0.0)
        self._host = None
        return message

    @property
    def pid(self) -> int | None:
        """Process id of the player, for its priority and its load; None in a thread or stopped."""
        return self._host.pid if self._host is not None else None

    @property
    def descriptor(self) -> int:
        """File descriptor of the memory shared with the player; the recorder reads from it too."""
        return self._memory.fileno()

    def push(self, audio: Floats, hop: int) -> None:
        """Append `(n,)` float32 at 16 kHz, the audio of hop `hop`. Never waits, never fails."""
        self._x.push(audio, hop, time.monotonic())

    def mute(self, on: bool) -> None:
        """Fade out, or in, within one hop (plus what the device already holds)."""
        self._x.counts[Count.MUTE] = int(on)

    def stats(self) -> PlayoutStats:
        """State and counts of this moment."""
        x = self._x
        return PlayoutStats(
            fill_ms=1000 * (x[Count.WRITTEN] - x[Count.READ]) / RATE_HZ,
            target_ms=self.settings.target_ms,
            delay_ms=1000 * float(x.values[Value.DELAY_S]),
            ratio_ppm=float(x.values[Value.RATIO_PPM]),
            underruns=x[Count.UNDERRUNS],
            trims=x[Count.TRIMS],
            trimmed_ms=1000 * x[Count.TRIMMED] / RATE_HZ,
            device_underflows=x[Count.DEVICE_UNDERFLOWS],
            played_samples=x[Count.PLAYED],
            device=x.device,
            host=self.settings.host,
            alive=self._alive(),
            message=x.message,
        )

    def _alive(self) -> bool:
        if self._host is None or not self._host.running():
            return False
        age = time.monotonic() - float(self._x.values[Value.BEAT_S])
        return self._x[Count.STATUS] == Status.RUNNING and age < BEAT_LIMIT_S

    def drain_dac_times(self) -> NDArray[np.float64]:
        """Rows (hop, time) since the last call, shape `(k, 2)`; time on `clock`, seconds.

        When the hop's first heard sample reaches the DAC; NaN for a hop that was cut away. The
        time is that of writing plus what was queued, filtered over seconds. It is steady to well
        under 1 ms, but what lies behind PortAudio is not in it: a sound server's own buffer, USB,
        the converter. Hops pushed while nothing played have no row.
        """
        rows, self._dacs = self._x.dacs_since(self._dacs)
        rows[:, 1] += self._clock() - time.monotonic()
        return rows

    def stop(self) -> None:
        """Fade out and close; after 2 s what still hangs is killed. Does nothing if stopped."""
        self._x.counts[Count.STOP] = 1
        self._end(STOP_LIMIT_S)

    def _end(self, seconds: float) -> None:
        if self._host is not None:
            self._host.end(seconds)
            self._host = None


class _ProcessHost:
    """The player in a child; only its own process id is ever signalled."""

    def __init__(self, exchange: Exchange, descriptor: int, settings: PlayoutSettings) -> None:
        if settings.wav is not None:
            settings = settings.model_copy(update={"wav": settings.wav.absolute()})
        self._words: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
        args = [sys.executable, "-m", "realtime.playout"]
        self._child = subprocess.Popen(
            [*args, str(descriptor), str(os.getpid()), settings.model_dump_json()],
            pass_fds=[descriptor],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._words,
            # Ctrl-C is for the service, which fades out before it stops the player.
            start_new_session=True,
        )

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def running(self) -> bool:
        return self._child.poll() is None

    def end(self, seconds: float) -> None:
        child.end(self._child, seconds)

    def last_words(self) -> str:
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        return f"the player ended with status {self._child.returncode}: {lines[-1:] or 'no word'}"


class _ThreadHost:
    """The player in a thread here; one that hangs in its device is left behind."""

    def __init__(self, exchange: Exchange, descriptor: int, settings: PlayoutSettings) -> None:
        self._thread = threading.Thread(target=play, args=(exchange, settings), daemon=True)
        self._thread.start()

    pid: int | None = None

    def running(self) -> bool:
        return self._thread.is_alive()

    def end(self, seconds: float) -> None:
        self._thread.join(seconds)

    def last_words(self) -> str:
        return "the player's thread ended without a word"


def open_playout(settings: PlayoutSettings, clock: Callable[[], float] = time.monotonic) -> Playout:
    """A started `Playout`.

    Raises
    ------
    AudioError
        If it cannot start; `realtime.devices.usable_output` tells why beforehand.
    BusyOutputError
        If the WAV file exists.
    """
    playout = Playout(settings, clock)
    playout.start()
    return playout
