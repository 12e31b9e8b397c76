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
from realtime.finder import Finder
from realtime.inlet import Block, Inlet
from realtime.streams import StreamDescription, StreamQuery, one_line

_LOOK_S = 0.02
_FIRST_SAMPLE_S = 1.0
_PULL_S = 0.05
# After a search that failed, and after a stream that could not be taken.
_PATIENCE_S, _AGAIN_S = 0.2, 0.05
# Answers get lost: what was refused is gone only once it has been silent for so long.
_GONE_S = 1.0

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
        # Each search has its own event: one that was called off may still be at it.
        self._over = threading.Event()
        search = _Search(self, self._query, self._open, former.source_id, self._over)
        self._thread = threading.Thread(target=search.run, name="seeker", daemon=True)
        self._thread.start()

    def call_off(self) -> None:
        """End the search at its next step; what it finds is closed."""
        self._over.set()
        self._thread = self.result = None


class _Search:
    """What the thread does until it is over."""

    def __init__(
        self,
        told: Seeker,
        query: StreamQuery,
        open_inlet: OpenInlet,
        former_id: str,
        over: threading.Event,
    ) -> None:
        self._told, self._query, self._open = told, query, open_inlet
        self._former_id, self._over = former_id, over
        self._refused_uid, self._seen = "", float("-inf")

    def run(self) -> None:
        finder = Finder()
        while not self._over.is_set():
            try:
                info = self._choose(finder.look(), pylsl.local_clock())
                result = self._try(info) if info is not None else None
            except Exception as err:
                # liblsl's wrapper raises more than it documents; the search must go on.
                self._refuse(f"the search for the stream failed: {err!r}")
                info = result = None
                self._over.wait(_PATIENCE_S)
            if result is not None:
                self._give(result)
                return
            self._over.wait(_LOOK_S if info is None else _AGAIN_S)

    def _give(self, result: Found) -> None:
        if not self._over.is_set():
            self._told.result = result
        if self._over.is_set():
            # Called off meanwhile: an inlet nobody takes would stay connected.
            self._told.result = None
            result.inlet.close()

    def _refuse(self, why: str | None) -> None:
        if not self._over.is_set():
            self._told.refusal = why

    def _choose(self, answering: list[pylsl.StreamInfo], now: float) -> pylsl.StreamInfo | None:
        """The stream to try, if there is one that was not refused already."""
        fitting = [info for info in answering if self._query.matches(info)]
        same = [info for info in fitting if info.source_id() == self._former_id != ""]
        chosen = same or fitting
        if not chosen:
            if now - self._seen > _GONE_S:
                self._refuse(None)
                self._refused_uid = ""
            return None
        self._seen = now
        if len(chosen) > 1:
            listed = " | ".join(map(one_line, chosen))
            self._refuse(f"{len(chosen)} streams match {self._query}: {listed}")
            self._refused_uid = ""
            return None
        # What a stream says of itself never changes: once is enough.
        return None if chosen[0].uid() == self._refused_uid else chosen[0]

    def _try(self, info: pylsl.StreamInfo) -> Found | None:
        """Open a stream and wait for its first sample; None if it is none to be had."""
        try:
            inlet = self._open(info)
        except MontageError as err:
            self._refuse(str(err))
            self._refused_uid = info.uid()
            return None
        except SeegvoxError:
            return None
        self._refuse(None)
        try:
            return self._first(inlet)
        except StreamError:
            return None

    def _first(self, inlet: Inlet) -> Found | None:
        waited_s = 0.0
        while waited_s < _FIRST_SAMPLE_S and not self._over.is_set():
            if (block := inlet.pull(_PULL_S)) is not None:
                return Found(inlet, block)
            waited_s += _PULL_S
        inlet.close()
        return None
