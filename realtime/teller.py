"""Lines for people, told by a thread of its own: a terminal that stands still holds nothing up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from realtime.events import Event
from realtime.states import STATES

Tell = Callable[[str], None]
_END_S = 2.0


class Teller:
    """Passes lines on, in order; a context manager that ends when all is told, or after 2 s."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def __enter__(self) -> Teller:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._queue.put(None)
        self._thread.join(_END_S)

    def tell(self, line: str) -> None:
        """Queue one line."""
        self._queue.put(line)

    def event(self, event: Event) -> None:
        """Queue an event as a line: a state with its reason, a fault with its details."""
        why = event.details.get("why")
        if event.kind in STATES or why is not None:
            self.tell(f"{event.kind}: {why}" if why else event.kind)
            return
        told = ", ".join(f"{key} {value}" for key, value in event.details.items())
        self.tell(f"{event.kind}: {told}" if told else event.kind)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            # A terminal that is gone ends nothing.
            with suppress(OSError, ValueError):
                self._tell(line)
