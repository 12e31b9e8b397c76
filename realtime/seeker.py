"""Looks for the stream again, in a thread of its own, while the session waits in silence.

LSL never reports a stalled source or an unplugged cable, and an inlet that recovers by itself
resumes on another rate without a word; so each return is a new inlet, checked like the first. The
old one, if it is still open, may revive first: whoever gives samples first has the stream.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pylsl

from models.errors import MontageError, SeegvoxError, StreamError
from realtime.inlet import Block, Inlet
from realtime.streams import StreamDescription, StreamQuery, one_line

# A query finds what answers within its wait; short ones, or the wait itself is the delay.
_WAITS_S = (0.1, 0.1, 0.1, 0.1, 0.5)
_FIRST_SAMPLE_S = 1.0
_PULL_S = 0.05
# Between two looks at a stream that was refused.
_PATIENCE_S = 0.2

OpenInlet = Callable[[pylsl.StreamInfo], Inlet]


@dataclass(frozen=True)
class Found:
    """A stream that fits: its open inlet and its first block, which the inlet's memory holds."""

    inlet: Inlet
    block: Block


class Seeker:
    """One search at a time; `result` and `refusal` are read between pulls, nothing waits.

    Parameters
    ----------
    query : which stream; of several that fit, the one with the former source id is taken.
    open_inlet : opens and checks a stream found.
    """

    def __init__(self, query: StreamQuery, open_inlet: OpenInlet) -> None:
        self._query, self._open = query, open_inlet
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self.result: Found | None = None
        """What was found; the thread has ended then."""
        self.refusal: str | None = None
        """Why what is there cannot be taken; None while nothing is."""

    @property
    def seeking(self) -> bool:
        """Whether a search is under way, or its result waits to be taken."""
        return self._thread is not None

    def start(self, former: StreamDescription) -> None:
        """Begin to look for `former`, or for another that the query permits."""
        self.result = self.refusal = None
        # Each search has its own event: one that was called off may still be in a query.
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(former, self._over), name="seeker", daemon=True
        )
        self._thread.start()

    def call_off(self) -> None:
        """End the search at its next step; what it finds is closed."""
        self._over.set()
        self._thread = self.result = None

    def _run(self, former: StreamDescription, over: threading.Event) -> None:
        turn = 0
        while not over.is_set():
            wait_s = _WAITS_S[turn % len(_WAITS_S)]
            turn += 1
            try:
                found = self._look(former, wait_s)
                result = self._try(found, over) if found is not None else None
            except Exception as err:
                # liblsl's wrapper raises more than it documents; the search must go on.
                self.refusal, result = f"the search for the stream failed: {err!r}", None
            if result is not None:
                self._give(result, over)
                return
            if self.refusal:
                over.wait(_PATIENCE_S)

    def _give(self, result: Found, over: threading.Event) -> None:
        if not over.is_set():
            self.result = result
        if over.is_set():
            # Called off meanwhile: an inlet nobody takes would stay connected.
            self.result = None
            result.inlet.close()

    def _look(self, former: StreamDescription, wait_s: float) -> pylsl.StreamInfo | None:
        """The stream to try, if there is one."""
        fitting = [info for info in pylsl.resolve_streams(wait_s) if self._query.matches(info)]
        same = [info for info in fitting if info.source_id() == former.source_id != ""]
        chosen = same or fitting
        if len(chosen) > 1:
            listed = " | ".join(map(one_line, chosen))
            self.refusal = f"{len(chosen)} streams match {self._query}: {listed}"
            return None
        if not chosen:
            self.refusal = None
            return None
        return chosen[0]

    def _try(self, info: pylsl.StreamInfo, over: threading.Event) -> Found | None:
        """Open a stream and wait for its first sample; None if it is none to be had."""
        try:
            inlet = self._open(info)
        except MontageError as err:
            self.refusal = str(err)
            return None
        except SeegvoxError:
            return None
        self.refusal = None
        try:
            return self._first(inlet, over)
        except StreamError:
            return None

    @staticmethod
    def _first(inlet: Inlet, over: threading.Event) -> Found | None:
        waited_s = 0.0
        while waited_s < _FIRST_SAMPLE_S and not over.is_set():
            if (block := inlet.pull(_PULL_S)) is not None:
                return Found(inlet, block)
            waited_s += _PULL_S
        inlet.close()
        return None
