"""The simulated amplifier for a process under libfaketime, whose monotonic clock is wall time.

    LD_PRELOAD=.../libfaketimeMT.so.1 FAKETIME="+0 x1.0002" \
        python -m tests.realtime.skewed_amplifier recording.npy SOURCE_ID BURST

libfaketime translates sleeps but not the timed waits of semaphores, which hang: so an event that
sleeps, and no waiting for a consumer.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from tools.amplifier import load, play


class SleepingEvent(threading.Event):
    """An event nobody sets; the process is ended by a signal."""

    def wait(self, timeout: float | None = None) -> bool:
        time.sleep(timeout or 0.0)
        return False


def main(args: list[str]) -> None:
    source = load(Path(args[0]))
    play(
        source.seeg,
        source.fs,
        source.labels,
        source_id=args[1],
        burst=int(args[2]),
        loop=True,
        wait_for_consumer=False,
        stop_event=SleepingEvent(),
        on_ready=lambda source_id: print(f"ready source_id={source_id}", flush=True),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
