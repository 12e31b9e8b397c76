"""What becomes of each piece of a block: dropped, passed over, or decoded.

Before it is decoded, what is missing is bridged; or, if too much is, the states forget and start
cold where the next hop of the grid begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.streaming import Floats
from realtime.continuity import Piece
from realtime.events import Emit, Event, Tally
from realtime.grid_feed import GridFeed
from realtime.pipeline import Hop, Pipeline


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


class Passage:
    """Takes pieces in order; gives the hops that they complete.

    Parameters
    ----------
    pipeline : fresh.
    contacts : columns of the samples.
    line_hz : of the line noise, Hz.
    bridge_ms : a longer loss of samples is a cold start.
    emit : is given events.
    warm : is told of each cold start: why, and when.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        contacts: int,
        line_hz: float,
        bridge_ms: float,
        emit: Emit,
        warm: Callable[[str, float], None],
    ) -> None:
        self._fs, self._bridge_ms = float(pipeline.clock.fs), bridge_ms
        self._emit, self._warm = emit, warm
        self._feed = GridFeed(pipeline, contacts, line_hz)
        self._bridged = Tally(emit, "bridged", "samples")
        self._duplicates = Tally(emit, "duplicates dropped", "samples")
        self.counts = CoreCounts()
        self.cold: str | None = None
        """Why the states have to forget before the next rows; None if they need not."""

    @property
    def position(self) -> int:
        """Place on the run's sample grid of the next sample."""
        return self._feed.position

    def pass_over(self, samples: int) -> None:
        """Samples that never came, before a cold start."""
        self._feed.pass_over(samples)

    def will_be_cold(self, pieces: Sequence[Piece]) -> str | None:
        """Why the states will forget somewhere in these pieces."""
        return self.cold or next(filter(None, map(self._why_cold, pieces)), None)

    def skip(self, piece: Piece) -> int:
        """Pass over a piece that is too old; returns its samples."""
        rows = piece.stop - piece.start
        self.counts.lost_samples += piece.lost
        self.counts.skipped_samples += rows
        self._feed.pass_over(piece.lost + rows)
        return rows

    def repeat(self, piece: Piece, now: float) -> None:
        """Drop a piece that was here before."""
        rows = piece.stop - piece.start
        self.counts.duplicate_samples += rows
        self._duplicates.add(rows, now)

    def decode(self, piece: Piece, block: Arrived) -> Iterator[Hop]:
        """Hops that a piece completes, and before them what has to come before its rows."""
        now = block.available
        samples = block.samples[piece.start : piece.stop]
        stamps = block.timestamps[piece.start : piece.stop]
        self.counts.lost_samples += piece.lost
        yield from self._mend(piece, samples[0], float(stamps[0]), now)
        yield from self._feed.rows(samples, stamps, now)

    def flush(self, now: float, at_once: bool) -> None:
        """Tell what was only counted."""
        self._bridged.flush(now, at_once)
        self._duplicates.flush(now, at_once)

    def _mend(self, piece: Piece, after: Floats, stamp: float, now: float) -> Iterator[Hop]:
        """A bridge or a cold start."""
        self._name_breaks(piece, now)
        if self.cold:
            self._feed.pass_over(piece.lost)
            self._start_cold(self.cold, now)
        elif piece.lost:
            self.counts.bridged_samples += piece.lost
            self._bridged.add(piece.lost, now)
            yield from self._feed.bridge(piece.lost, after, stamp, now)

    def _why_cold(self, piece: Piece) -> str | None:
        lost_ms = 1e3 * piece.lost / self._fs
        if piece.jump_s:
            return f"the sender's clock jumped by {piece.jump_s:+.3f} s"
        if lost_ms > self._bridge_ms:
            return f"{lost_ms:.1f} ms of samples were lost"
        return None

    def _name_breaks(self, piece: Piece, now: float) -> None:
        self.cold = self._why_cold(piece) or self.cold
        if piece.jump_s:
            self._emit(Event("clock jump", now, {"seconds": round(piece.jump_s, 3)}))
        lost_ms = round(1e3 * piece.lost / self._fs, 1)
        if lost_ms > self._bridge_ms:
            self._emit(Event("gap", now, {"samples": piece.lost, "ms": lost_ms}))

    def _start_cold(self, why: str, now: float) -> None:
        hop = self._feed.cold_start()
        self.counts.cold_starts += 1
        self._emit(Event("cold start", now, {"why": why, "hop": hop}))
        self.cold = None
        self._warm(why, now)
