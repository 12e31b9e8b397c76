"""The player: opens the sink, feeds it until told to stop. A thread, or a process of its own.

    python -m realtime.playout.process <memory fd> <parent pid> <settings as JSON>

The process imports numpy, samplerate, sounddevice and pydantic, nothing heavier.
"""

from __future__ import annotations

import gc
import mmap
import os
import sys
import threading
import time

from models.errors import SeegvoxError
from realtime.playout.engine import Engine
from realtime.playout.exchange import SIZE, Count, Exchange, Status, Value
from realtime.playout.settings import PlayoutSettings
from realtime.playout.sinks import Sink, open_sink
from realtime.scheduling import PLAYER_PRIORITY, raise_priority

# Shorter than this, `write` did not wait: the device had room.
WAITED_S = 0.0003
# Blocks of silence and fade between the order to stop and the end: one hop fades in 3.
LAST_BLOCKS = 5
WATCH_S = 0.25


def play(exchange: Exchange, settings: PlayoutSettings) -> None:
    """Open the sink and feed it until `STOP`; status and message tell how it went."""
    try:
        sink = open_sink(settings)
        exchange.device = sink.description
        engine = Engine(exchange, settings, sink.rate, sink.delay_s)
        _beat(exchange, time.monotonic())
        exchange.counts[Count.STATUS] = Status.RUNNING
        _feed(exchange, engine, sink)
        sink.close()
        exchange.counts[Count.STATUS] = Status.STOPPED
    except Exception as err:
        # Whatever it is, the decoder goes on; the service reads the message and may reopen.
        exchange.message = str(err) if isinstance(err, SeegvoxError) else repr(err)
        exchange.counts[Count.STATUS] = Status.FAILED


def _feed(exchange: Exchange, engine: Engine, sink: Sink) -> None:
    last = LAST_BLOCKS
    while last:
        last -= exchange[Count.STOP]
        audio = engine.render()
        before = time.monotonic()
        underflow = sink.write(audio)
        now = time.monotonic()
        engine.written(len(audio), now, _free_at(sink, now) if now - before > WAITED_S else None)
        exchange.add(Count.DEVICE_UNDERFLOWS, underflow)
        _beat(exchange, now)


def _free_at(sink: Sink, now: float) -> int | None:
    """Free frames at `now`; None if something else had the core before they were counted."""
    free = sink.free()
    return free if time.monotonic() - now < WAITED_S else None


def _beat(exchange: Exchange, now: float) -> None:
    exchange.values[Value.BEAT_S] = now


def _leave_with(parent: int) -> None:
    """End this process when its parent is gone, even while a device call hangs."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def main(args: list[str]) -> int:
    """Run the player of one parent; returns the exit status."""
    descriptor, parent, settings = int(args[0]), int(args[1]), args[2]
    exchange = Exchange(mmap.mmap(descriptor, SIZE))
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    gc.disable()
    raise_priority(PLAYER_PRIORITY)
    play(exchange, PlayoutSettings.model_validate_json(settings))
    status = exchange[Count.STATUS]
    # PortAudio's own exit handlers hang when a JACK server has died.
    sys.stdout.flush()
    os._exit(0 if status == Status.STOPPED else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
