"""What a session makes of what arrives: the policy table, without I/O and without a clock.

    block -> continuity -> freshness -> passage -> pipeline -> hop guard -> hops

Everything follows from the sequence of calls: the same calls give the same hops, bit for bit, and
the same events. Mel and audio follow from `connected` and `feed` alone, and from the limiter's
gain; `silence`, `lost`, `refused` and `fault` change what is heard, never what is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import ceil

import numpy as np
from numpy.typing import NDArray

from realtime.arrivals import Arrivals
from realtime.bursts import BurstWatch
from realtime.continuity import Continuity, Piece
from realtime.events import Emit, Event
from realtime.freshness import Freshness
from realtime.hop_guard import HopGuard
from realtime.passage import Arrived, CoreCounts, Passage
from realtime.pipeline import Hop, Pipeline
from realtime.policy import Policy
from realtime.states import States

__all__ = ["Arrived", "CoreCounts", "SessionCore"]


class SessionCore:
    """Decides for every sample whether and how it is decoded, and what may be heard.

    Parameters
    ----------
    pipeline : fresh.
    contacts : the montage's labels, one per column of a block.
    warm_s : muted from the first sample on, seconds.
    policy : limits and times.
    emit : is given every event, from within the call that caused it.
    playout_s : from a hop's push to its being heard, seconds.
    expected_mask : `(contacts,)`, True for contacts that are given up anyway.
    line_hz : of the line noise, Hz.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        contacts: Sequence[str],
        warm_s: float,
        policy: Policy,
        emit: Emit,
        playout_s: float = 0.0,
        expected_mask: NDArray[np.bool_] | None = None,
        line_hz: float = 50.0,
    ) -> None:
        self._policy, self._emit = policy, emit
        self._fs, self._hop_s = float(pipeline.clock.fs), float(pipeline.clock.hop)
        self._warm_s, self._playout_s = warm_s, playout_s
        self.states = States(emit)
        """The state of this moment, and what it is for."""
        self._continuity = Continuity(pipeline.clock.fs, len(contacts))
        self._arrivals = Arrivals()
        self._freshness = Freshness(emit, policy.skip_s)
        warm_again = partial(self._warm, policy.rewarm_s)
        self._passage = Passage(
            pipeline, len(contacts), line_hz, policy.bridge_ms, emit, warm_again
        )
        self._bursts = BurstWatch(emit, playout_s)
        expected = np.zeros(len(contacts), np.bool_) if expected_mask is None else expected_mask
        self._guard = HopGuard(self.states, emit, contacts, expected, policy.masked_limit)
        self._started, self._refused = False, ""
        self._last_available = float("nan")
        self._shift = 0

    @property
    def burst_s(self) -> float:
        """Length of the amplifier's bursts, seconds."""
        return self._arrivals.burst_s

    @property
    def counts(self) -> CoreCounts:
        """What happened to samples so far."""
        return self._passage.counts

    @property
    def odd_stamps(self) -> int:
        """Times that timestamps ran back or ahead and were borne."""
        return self._continuity.odd_stamps

    def idle_s(self, now: float) -> float:
        """Seconds since the last samples; NaN before the first."""
        return now - self._last_available

    # --- what happens -------------------------------------------------------------------------

    def connected(self, now: float, **about: object) -> None:
        """A stream is open: the next block is its first."""
        self._emit(Event("connected", now, dict(about)))
        self._continuity.reset()
        self._arrivals.reset()
        if self._started:
            self._passage.cold = "the stream is back"

    def feed(self, block: Arrived) -> Iterator[Hop]:
        """Take a block; the hops that it completes, one after another; iterate to the end."""
        now, rows, continuity = block.available, len(block.timestamps), self._continuity
        self._arrive(now, rows)
        self._shift = continuity.count - self._passage.position
        floor_s = self._arrivals.floor_s
        pieces = continuity.judge(block.samples, block.timestamps, now, floor_s)
        if any(piece.jump_s for piece in pieces):
            self._arrivals.reset()
        newest = continuity.line()
        age_s = self._arrivals.update(newest - (rows - 1) / self._fs, newest, now)
        skip = self._is_too_old(age_s, now)
        self._come_back(age_s, skip, pieces, now)
        for piece in pieces:
            for hop in self._take(piece, block, skip):
                self._finish(hop, now)
                yield hop
        self._last_available = now
        if self._bursts.is_due(now) and not self.states.holds("warming"):
            self.states.set("burst", self._compare_burst(now), now)
        self._passage.flush(now, at_once=False)

    def silence(self, now: float) -> None:
        """Nothing came until `now`."""
        idle_ms = 1e3 * (self.idle_s(now) - self.burst_s)
        if not self._started or self.states.holds("no stream") or self.states.holds("refused"):
            return
        if idle_ms > self._policy.stall_ms:
            self.states.update({"stalled": "no samples come", "overdue": None}, now)
        elif idle_ms > self._policy.overdue_ms and not self.states.holds("stalled"):
            self.states.update({"overdue": "samples are overdue"}, now)
        self._passage.flush(now, at_once=False)

    def lost(self, why: str, now: float) -> None:
        """The stream is gone, and looked for."""
        if not self.states.holds("no stream"):
            self._emit(Event("lost", now, {"why": why}))
        gone = ("refused", "stalled", "overdue", "stale")
        self.states.update({"no stream": why, **dict.fromkeys(gone)}, now)

    def refused(self, why: str, now: float) -> None:
        """A stream is there, and must not be decoded; told once for each reason."""
        if not self.states.holds("refused") or why != self._refused:
            self._refused = why
            self._emit(Event("refused", now, {"why": why}))
        self.states.update({"refused": why, "no stream": None, "stalled": None}, now)

    def fault(self, reason: str, why: str | None, now: float) -> None:
        """A reason from outside (`operator`, `late`, `sound`, `record`) holds, or is over."""
        self.states.update({reason: why}, now)

    def stop(self, why: str, now: float) -> None:
        """The session is over."""
        self._passage.flush(now, at_once=True)
        self._guard.flush(now)
        self.states.update({"stopped": why}, now)

    # --- samples ------------------------------------------------------------------------------

    def _arrive(self, now: float, rows: int) -> None:
        """Samples are here; those of another stream are put in their place on the grid."""
        if not self._started:
            self._started = True
            self._warm(self._warm_s, "filters and memory are filling", now)
        elif self._continuity.is_new:
            # The old stream's clock says nothing of the new one: what is missing is by arrival.
            missing = round((now - self._last_available) * self._fs) - rows
            self._passage.pass_over(max(0, missing))
            self._warm(self._policy.rewarm_s, self._passage.cold or "", now)

    def _is_too_old(self, age_s: float, now: float) -> bool:
        """Whether this block is passed over for its age; then until data are fresh again."""
        begun = self._freshness.skipping
        skip = self._freshness.too_old(age_s, self.burst_s, now)
        if skip and not begun:
            self._passage.cold = self._freshness.why
        return skip

    def _come_back(self, age_s: float, skip: bool, pieces: Sequence[Piece], now: float) -> None:
        """Nothing is missed any more; what was, is over once data are fresh."""
        changes: dict[str, str | None] = dict.fromkeys(("no stream", "refused", "overdue"))
        if self._freshness.is_fresh(age_s, self.burst_s):
            changes |= {"stalled": None, "stale": None}
        if skip:
            changes["stale"] = "samples are too old"
        elif why := self._passage.will_be_cold(pieces):
            # Named now, not only when it happens, or the state would be `decoding` in between.
            changes["warming"] = why
        self.states.update(changes, now)

    def _take(self, piece: Piece, block: Arrived, skip: bool) -> Iterator[Hop]:
        if piece.duplicate:
            self._passage.repeat(piece, block.available)
        elif skip:
            self._freshness.skip(self._passage.skip(piece))
        else:
            yield from self._passage.decode(piece, block)

    # --- hops ---------------------------------------------------------------------------------

    def _finish(self, hop: Hop, now: float) -> None:
        number = hop.last_sample + 1 + self._shift
        hop.due = self._continuity.time_of(number) + self._arrivals.floor_s
        if self._guard.look(hop, now):
            self.states.update({"warming": None, "burst": self._compare_burst(now)}, now)
        hop.muted, hop.dropped = not self.states.audible, False

    def _warm(self, seconds: float, why: str, now: float) -> None:
        # What was decoded before the end of the warm-up is heard `playout_s` later.
        self._guard.warm_up(ceil((seconds + self._playout_s) / self._hop_s))
        self.states.update({"warming": why}, now)

    def _compare_burst(self, now: float) -> str | None:
        return self._bursts.compare(self.burst_s, now)
