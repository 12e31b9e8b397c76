"""One stream after another as one source of blocks; what becomes of it is told to the core."""

from __future__ import annotations

import threading

import pylsl

from models.errors import StreamError
from realtime.clock_correction import SenderClock
from realtime.inlet import Block, Inlet
from realtime.seeker import OpenInlet, Seeker
from realtime.session_core import SessionCore
from realtime.streams import StreamQuery

# How long one pull may keep an operator waiting.
PULL_S = 0.02
# A process that was held up for so long has samples waiting that LSL has still to read.
HELD_UP_S = 0.2
CLOSE_S = 1.0


class Source:
    """Pulls from the stream there is, and looks for its return while there is none.

    Parameters
    ----------
    inlet : open; becomes this object's own.
    query : which streams may take its place.
    open_inlet : opens and checks one of them.
    core : is told of loss, refusal and return.
    clock : follows the sender.
    lost_s : without samples for so long a stream is looked for, even if LSL says nothing.
    """

    def __init__(
        self,
        inlet: Inlet,
        query: StreamQuery,
        open_inlet: OpenInlet,
        core: SessionCore,
        clock: SenderClock,
        lost_s: float,
    ) -> None:
        self._inlet, self._core, self._clock = inlet, core, clock
        self._query, self._lost_s = query, lost_s
        self._seeker = Seeker(query, open_inlet)
        self._alive, self._pulled = True, pylsl.local_clock()
        self._pause = threading.Event()
        self.returns = 0
        """Streams that took the place of one that went away."""

    def pull(self) -> Block | None:
        """Wait up to 20 ms for samples; None if none came.

        Raises
        ------
        StreamError
            If the stream has been away for longer than the settings permit.
        """
        block = self._pull_old()
        if block is not None:
            if self._seeker.seeking:
                self._seeker.call_off()
            return block
        if self._seeker.seeking:
            return self._await_return()
        now = pylsl.local_clock()
        if self._inlet.idle_s(now) > self._lost_s:
            self._look(f"no samples for {self._lost_s:g} s", now)
        return None

    def close(self) -> None:
        """End the search and disconnect; one that hangs in that is left to itself after 1 s."""
        self._seeker.call_off()
        _dispose(self._inlet).join(CLOSE_S)

    def _pull_old(self) -> Block | None:
        if not self._alive:
            self._pause.wait(PULL_S)
            return None
        held_up = pylsl.local_clock() - self._pulled > HELD_UP_S
        try:
            block = self._inlet.pull(HELD_UP_S if held_up else PULL_S)
            self._pulled = pylsl.local_clock()
            return block
        except StreamError as err:
            self._alive = False
            if not self._seeker.seeking:
                self._look(err.found, pylsl.local_clock())
        return None

    def _look(self, why: str, now: float) -> None:
        self._core.lost(f"{why}; looking for it", now)
        self._seeker.start(self._inlet.description)

    def _await_return(self) -> Block | None:
        found, now = self._seeker.result, pylsl.local_clock()
        if found is not None:
            self._seeker.call_off()
            self._replace(found.inlet, found.block.available)
            return found.block
        if self._seeker.refusal is not None:
            self._core.refused(self._seeker.refusal, now)
        elif self._core.states.holds("refused"):
            self._core.lost("the stream that was refused is gone; looking", now)
        self._check_patience(now)
        return None

    def _check_patience(self, now: float) -> None:
        away_s = self._core.idle_s(now)
        if self._query.give_up_s is not None and away_s > self._query.give_up_s:
            raise StreamError(
                f"the stream '{self._inlet.description.name}' went away",
                f"its return within {self._query.give_up_s:g} s (stream.give_up_s)",
                "check the amplifier; what was decoded is in the run's folder",
            )

    def _replace(self, inlet: Inlet, now: float) -> None:
        old, self._inlet, self._alive = self._inlet, inlet, True
        _dispose(old)
        self.returns += 1
        self._clock.follow(inlet)
        stream = inlet.description
        self._core.connected(
            now,
            name=stream.name,
            source_id=stream.source_id,
            host=stream.hostname,
            uid=stream.uid,
        )


def _dispose(inlet: Inlet) -> threading.Thread:
    """Destroy an inlet in a thread: it may wait for its own threads, or hang."""
    thread = threading.Thread(target=inlet.close, name="old inlet", daemon=True)
    thread.start()
    return thread
