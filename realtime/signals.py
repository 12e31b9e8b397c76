"""SIGINT and SIGTERM as an end like any other: the sound fades, the record is closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stoppable(Protocol):
    """What can be ended: a `realtime.service.Service`."""

    stop: threading.Event
    running: bool


@contextmanager
def stopped_by_signals(service: Stoppable) -> Iterator[None]:
    """SIGINT and SIGTERM end a run as if its time were over; before there is one, at once."""

    def stop(*_: object) -> None:
        service.stop.set()
        if not service.running:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
