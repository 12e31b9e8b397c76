"""The player: opens the sink, feeds it until told to stop. A thread, or a process of its own.

    python -m realtime.playout <memory fd> <parent pid> <settings as JSON>

The process imports numpy, samplerate, sounddevice and pydantic, nothing heavier.
"""

from __future__ import annotations

import gc
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable

from models.errors import SeegvoxError
from realtime.memory_lock import lock_memory
from realtime.playout.engine import Engine
from realtime.playout.exchange import SIZE, Count, Exchange, Status, Value
from realtime.playout.settings import PlayoutSettings
from realtime.playout.sinks import Sink, open_sink
from realtime.scheduling import PLAYER_PRIORITY, any_core, raise_priority, use_cores

# Shorter than this, `write` did not wait: the device had room.
WAITED_S = 0.0003
# Blocks of silence and fade between the order to stop and the end: one hop fades in 3.
LAST_BLOCKS = 5
WATCH_S = 0.25
# For a fade and what the device holds; the device may also hang.
LEAVE_S = 1.0
# A device may take its time to begin (a cold PulseAudio sink 1.8 s) and does not hang then.
BEGIN_S = 2.0


def play(
    exchange: Exchange,
    settings: PlayoutSettings,
    prepare: Callable[[PlayoutSettings], None] = lambda settings: None,
) -> None:
    """Open the sink and feed it until `STOP`; status and message tell how it went.

    `prepare` is called first; what it raises is told like what the sink raises.
    """
    try:
        prepare(settings)
        sink = open_sink(settings)
        exchange.device = sink.description
        engine = Engine(exchange, settings, sink.rate, sink.delay_s)
        _beat(exchange, time.monotonic() + BEGIN_S)
        exchange.counts[Count.STATUS] = Status.RUNNING
        _feed(exchange, engine, sink)
        sink.close()
        exchange.counts[Count.STATUS] = Status.STOPPED
    except Exception as err:
        # Whatever it is, the decoder goes on; the service reads the message and may reopen.
        exchange.message = str(err) if isinstance(err, SeegvoxError) else repr(err)
        exchange.counts[Count.STATUS] = Status.FAILED


def _feed(exchange: Exchange, engine: Engine, sink: Sink) -> None:
    last, begun = LAST_BLOCKS, time.monotonic() + BEGIN_S
    while last:
        last -= exchange[Count.STOP]
        audio = engine.render()
        before = time.monotonic()
        underflow = sink.write(audio)
        now = time.monotonic()
        engine.written(len(audio), now, _free_at(sink, now) if now - before > WAITED_S else None)
        exchange.tell_heard(audio, now, sink.rate)
        exchange.add(Count.DEVICE_UNDERFLOWS, underflow)
        _beat(exchange, max(now, begun))


def _free_at(sink: Sink, now: float) -> int | None:
    """Free frames at `now`; None if something else had the core before they were counted."""
    free = sink.free()
    return free if time.monotonic() - now < WAITED_S else None


def _beat(exchange: Exchange, now: float) -> None:
    exchange.values[Value.BEAT_S] = now


def _leave_with(parent: int, exchange: Exchange) -> None:
    """Fade out and end this process when its parent is gone, even while a device call hangs."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    # The producer's counter, but there is no producer any more.
    exchange.counts[Count.STOP] = 1
    time.sleep(LEAVE_S)
    os._exit(1)


def _take_precedence(settings: PlayoutSettings) -> None:
    """What a process that must be woken in time asks for; the decoder's is told in the record."""
    any_core()
    if settings.cores:
        use_cores(settings.cores)
    raise_priority(PLAYER_PRIORITY)
    lock_memory()


def main(args: list[str]) -> int:
    """Run the player of one parent; returns the exit status."""
    descriptor, parent, settings = int(args[0]), int(args[1]), args[2]
    exchange = Exchange(mmap.mmap(descriptor, SIZE))
    gc.disable()

    def prepare(settings: PlayoutSettings) -> None:
        _take_precedence(settings)
        # Only now, for it must not hold the interpreter at a lower priority.
        threading.Thread(target=_leave_with, args=(parent, exchange), daemon=True).start()

    play(exchange, PlayoutSettings.model_validate_json(settings), prepare)
    status = exchange[Count.STATUS]
    # PortAudio's own exit handlers hang when a JACK server has died.
    sys.stdout.flush()
    os._exit(0 if status == Status.STOPPED else 1)
