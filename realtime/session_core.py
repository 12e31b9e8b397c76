"""What a session makes of what arrives: the policy table, without I/O and without a clock.

    block -> continuity -> bridge | cold start | pass over -> pipeline -> hop guard -> hops

Everything follows from the sequence of calls: the same calls give the same hops, bit for bit, and
the same events. `silence` and `fault` change what is heard, never what is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.streaming import Floats
from realtime.arrivals import Arrivals
from realtime.continuity import Continuity, Piece
from realtime.events import Emit, Event, Tally
from realtime.grid_feed import GridFeed
from realtime.hop_guard import HopGuard
from realtime.pipeline import Hop, Pipeline
from realtime.policy import Policy
from realtime.states import States

# Data no later than a burst and this are fresh.
FRESH_S = 0.15
BURST_EVERY_S = 5.0


class Arrived(Protocol):
    """What arrives: a `realtime.inlet.Block`, or the same from a record."""

    @property
    def samples(self) -> Floats:
        """`(n, contacts)` float32, n > 0, microvolts, montage order."""
        ...

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """`(n,)`, the sender's LSL clock, seconds."""
        ...

    @property
    def available(self) -> float:
        """When it was here, the local LSL clock, seconds."""
        ...


@dataclass
class CoreCounts:
    """What happened to samples, and cold starts after the first."""

    lost_samples: int = 0
    bridged_samples: int = 0
    duplicate_samples: int = 0
    skipped_samples: int = 0
    cold_starts: int = 0


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
        self._continuity = Continuity(pipeline.clock.fs, len(contacts))
        self._arrivals = Arrivals()
        self._feed = GridFeed(pipeline, len(contacts), line_hz)
        self.states = States(emit)
        """The state of this moment, and what it is for."""
        expected = np.zeros(len(contacts), np.bool_) if expected_mask is None else expected_mask
        self._guard = HopGuard(self.states, emit, contacts, expected, policy.masked_limit)
        self._bridged = Tally(emit, "bridged", "samples")
        self._duplicates = Tally(emit, "duplicates dropped", "samples")
        self.counts = CoreCounts()
        self._started = False
        self._cold: str | None = None
        self._last_available = float("nan")
        self._skipping = 0
        self._shift = 0
        self._burst_told_ms, self._next_burst = -10.0, 0.0

    @property
    def burst_s(self) -> float:
        """Length of the amplifier's bursts, seconds."""
        return self._arrivals.burst_s

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
            self._cold = "the stream is back"

    def feed(self, block: Arrived) -> Iterator[Hop]:
        """Take a block; the hops that it completes, one after another; iterate to the end."""
        now, rows, continuity = block.available, len(block.timestamps), self._continuity
        self._arrive(now, rows)
        self._shift = continuity.count - self._feed.position
        pieces = continuity.judge(
            block.samples, block.timestamps, block.available, self._arrivals.floor_s
        )
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
        if now > self._next_burst and not self.states.holds("warming"):
            self.states.update({"burst": self._compare_burst(now)}, now)
        self._flush(now)

    def silence(self, now: float) -> None:
        """Nothing came until `now`."""
        idle_ms = 1e3 * (self.idle_s(now) - self.burst_s)
        if not self._started or self.states.holds("no stream") or self.states.holds("refused"):
            return
        if idle_ms > self._policy.stall_ms:
            self.states.update({"stalled": "no samples come", "overdue": None}, now)
        elif idle_ms > self._policy.overdue_ms and not self.states.holds("stalled"):
            self.states.update({"overdue": "samples are overdue"}, now)
        self._flush(now)

    def lost(self, why: str, now: float) -> None:
        """The stream is gone, and looked for."""
        if not self.states.holds("no stream"):
            self._emit(Event("lost", now, {"why": why}))
        gone = ("refused", "stalled", "overdue", "stale")
        self.states.update({"no stream": why, **dict.fromkeys(gone)}, now)

    def refused(self, why: str, now: float) -> None:
        """A stream is there, and must not be decoded."""
        if not self.states.holds("refused"):
            self._emit(Event("refused", now, {"why": why}))
        self.states.update({"refused": why, "no stream": None, "stalled": None}, now)

    def fault(self, reason: str, why: str | None, now: float) -> None:
        """A reason from outside (`operator`, `late`, `sound`, `record`) holds, or is over."""
        self.states.update({reason: why}, now)

    def stop(self, why: str, now: float) -> None:
        """The session is over."""
        self._flush(now, at_once=True)
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
            self._feed.pass_over(max(0, missing))
            self._warm(self._policy.rewarm_s, self._cold or "", now)

    def _is_too_old(self, age_s: float, now: float) -> bool:
        """Whether this block is passed over for its age; then until data are fresh again."""
        if self._skipping and age_s < self.burst_s + FRESH_S:
            self._emit(Event("skipped", now, {"samples": self._skipping}))
            self._skipping = 0
            return False
        if not self._skipping and age_s > self._policy.skip_s:
            self._cold = f"samples {age_s:.1f} s old were skipped"
            return True
        return self._skipping > 0

    def _come_back(self, age_s: float, skip: bool, pieces: Sequence[Piece], now: float) -> None:
        """Nothing is missed any more; what was, is over once data are fresh."""
        changes: dict[str, str | None] = dict.fromkeys(("no stream", "refused", "overdue"))
        if age_s < self.burst_s + FRESH_S:
            changes |= {"stalled": None, "stale": None}
        if skip:
            changes["stale"] = "samples are too old"
        elif why := self._cold or next(filter(None, map(self._why_cold, pieces)), None):
            # Named now, not only when it happens, or the state would be `decoding` in between.
            changes["warming"] = why
        self.states.update(changes, now)

    def _take(self, piece: Piece, block: Arrived, skip: bool) -> Iterator[Hop]:
        now, rows, counts = block.available, piece.stop - piece.start, self.counts
        if piece.duplicate:
            counts.duplicate_samples += rows
            self._duplicates.add(rows, now)
            return
        counts.lost_samples += piece.lost
        if skip:
            self._feed.pass_over(piece.lost + rows)
            counts.skipped_samples += rows
            self._skipping += rows
            return
        samples = block.samples[piece.start : piece.stop]
        stamps = block.timestamps[piece.start : piece.stop]
        yield from self._mend(piece, samples[0], float(stamps[0]), now)
        yield from self._feed.rows(samples, stamps, now)

    def _mend(self, piece: Piece, after: Floats, stamp: float, now: float) -> Iterator[Hop]:
        """What has to come before the rows of a piece: a bridge or a cold start."""
        self._name_breaks(piece, now)
        if self._cold:
            self._feed.pass_over(piece.lost)
            self._start_cold(self._cold, now)
        elif piece.lost:
            self.counts.bridged_samples += piece.lost
            self._bridged.add(piece.lost, now)
            yield from self._feed.bridge(piece.lost, after, stamp, now)

    def _why_cold(self, piece: Piece) -> str | None:
        """Why the states must forget before a piece; None if they need not."""
        lost_ms = 1e3 * piece.lost / self._fs
        if piece.jump_s:
            return f"the sender's clock jumped by {piece.jump_s:+.3f} s"
        if lost_ms > self._policy.bridge_ms:
            return f"{lost_ms:.1f} ms of samples were lost"
        return None

    def _name_breaks(self, piece: Piece, now: float) -> None:
        self._cold = self._why_cold(piece) or self._cold
        if piece.jump_s:
            self._emit(Event("clock jump", now, {"seconds": round(piece.jump_s, 3)}))
        lost_ms = round(1e3 * piece.lost / self._fs, 1)
        if lost_ms > self._policy.bridge_ms:
            self._emit(Event("gap", now, {"samples": piece.lost, "ms": lost_ms}))

    def _start_cold(self, why: str, now: float) -> None:
        hop = self._feed.cold_start()
        self.counts.cold_starts += 1
        self._emit(Event("cold start", now, {"why": why, "hop": hop}))
        self._cold = None
        self._warm(self._policy.rewarm_s, why, now)

    def _warm(self, seconds: float, why: str, now: float) -> None:
        # What was decoded before the end of the warm-up is heard `playout_s` later.
        self._guard.warm_up(ceil((seconds + self._playout_s) / self._hop_s))
        self.states.update({"warming": why}, now)

    # --- hops ---------------------------------------------------------------------------------

    def _finish(self, hop: Hop, now: float) -> None:
        number = hop.last_sample + 1 + self._shift
        hop.due = self._continuity.time_of(number) + self._arrivals.floor_s
        if self._guard.look(hop, now):
            self._warmed(now)
        hop.muted, hop.dropped = not self.states.audible, False

    def _warmed(self, now: float) -> None:
        self.states.update({"warming": None, "burst": self._compare_burst(now)}, now)

    def _compare_burst(self, now: float) -> str | None:
        """A playout delay below the burst runs dry in every burst; why, if it is so."""
        burst_ms, delay_ms = round(1e3 * self.burst_s, 1), 1e3 * self._playout_s
        if abs(burst_ms - self._burst_told_ms) > max(2.0, 0.2 * self._burst_told_ms):
            self._burst_told_ms = burst_ms
            self._emit(Event("burst", now, {"ms": burst_ms, "playout_ms": delay_ms}))
        self._next_burst = now + BURST_EVERY_S
        if delay_ms == 0 or burst_ms <= delay_ms:
            return None
        return f"bursts of {burst_ms:g} ms need a playout delay of as much, it is {delay_ms:g} ms"

    def _flush(self, now: float, at_once: bool = False) -> None:
        self._bridged.flush(now, at_once)
        self._duplicates.flush(now, at_once)
        if at_once:
            self._guard.flush(now)
