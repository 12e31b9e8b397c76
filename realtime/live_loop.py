"""The loop that carries hops: pull, step, hand over; between blocks the operator has a word.

Nothing in it waits for a file, a socket or a terminal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf

import numpy as np
import pylsl
from numpy.typing import NDArray

from models.streaming import Floats
from realtime.clock_correction import SenderClock
from realtime.environment import process_age_s
from realtime.events import Emit, Event
from realtime.handover import Handover
from realtime.inlet import Block
from realtime.operator import Command, Operator
from realtime.pipeline import Hop, Pipeline
from realtime.playout.playout import Playout
from realtime.record.record import Record
from realtime.session_core import SessionCore
from realtime.source import Source
from realtime.status import HopTimes, Status

HopSink = Callable[[Hop, float, float, bool], None]
"""Is given a hop, when it was handed over, the clock offset and whether it was late."""

_LOOK_S = 0.5
# A stream that stands still must not keep a run from its end.
_OVERTIME_S = 1.0
_NO_SAMPLES = np.zeros((0, 0), np.float32)
_NO_STAMPS = np.zeros(0)


@dataclass
class Counts:
    """What a run counted; `late_hops` were handed over more than a hop after they were here,
    `dropped_hops` so late that they were not played."""

    hops: int = 0
    late_hops: int = 0
    dropped_hops: int = 0
    not_finite_hops: int = 0


class LiveLoop:
    """Carries hops from a source to playout, record and listeners until its time is over.

    Parameters
    ----------
    core, source, pipeline, playout, record, clock : the parts of the run.
    sinks : are given every hop after it was handed over; they must not wait.
    operator : polled between blocks.
    emit : for events of its own.
    seconds : of decoding; None goes on until `stopped`.
    stop : ends the run once it is set; the operator's stop sets it.
    """

    def __init__(
        self,
        core: SessionCore,
        source: Source,
        pipeline: Pipeline,
        playout: Playout,
        record: Record,
        clock: SenderClock,
        sinks: Sequence[HopSink],
        operator: Operator,
        emit: Emit,
        seconds: float | None,
        stop: threading.Event,
    ) -> None:
        self.source = source
        self._core, self._pipeline = core, pipeline
        self._playout, self._record, self._clock = playout, record, clock
        self._sinks, self._operator, self._emit = sinks, operator, emit
        self._stop = stop
        self._hop_s = float(pipeline.clock.hop)
        self._seconds = inf if seconds is None else seconds
        self._last = inf if seconds is None else ceil(seconds / self._hop_s)
        self._handover = Handover(playout.push, playout.settings.target_ms / 1e3)
        self._started_at = inf
        self._next_look = -inf
        self._done = False
        self.counts = Counts()
        self.times = HopTimes(self._hop_s)
        """Compute of the newest hops."""
        self.masked = 0
        """Masked contacts of the newest hop."""
        self.first_hop_s = float("nan")
        """Age of the process at its first hop, seconds."""

    @property
    def gain_db(self) -> float:
        """The operator's gain, dB."""
        return self._pipeline.limiter.gain_db

    def status(self) -> Status:
        """The session at this moment; any thread may ask."""
        states, stats = self._core.states, self._playout.stats()
        return Status(
            state=states.state,
            reason=states.why,
            hops=self.counts.hops,
            hop_p99_ms=self.times.p99_ms(),
            late_hops=self.counts.late_hops,
            dropped_hops=self.counts.dropped_hops,
            underruns=stats.underruns,
            delay_ms=stats.delay_ms,
            masked_contacts=self.masked,
            gain_db=self.gain_db,
        )

    def run(self, block: Block | None) -> None:
        """Go on from a first block to the end.

        Raises
        ------
        StreamError
            If the stream stayed away for longer than the settings permit.
        """
        while not self._is_over():
            self._obey()
            if block is None:
                now = pylsl.local_clock()
                self._core.silence(now)
                self._record_pull(_NO_SAMPLES, _NO_STAMPS, now)
            else:
                self._step(block)
            self._look_around(pylsl.local_clock())
            block = self.source.pull()

    def _is_over(self) -> bool:
        overtime = pylsl.local_clock() - self._started_at - self._seconds
        return self._done or overtime > _OVERTIME_S or self._stop.is_set()

    # --- hops ---------------------------------------------------------------------------------

    def _step(self, block: Block) -> None:
        self._started_at = min(self._started_at, block.available)
        self._record_pull(block.samples, block.timestamps, block.available)
        for hop in self._core.feed(block):
            self._carry(hop)
            if hop.index + 1 >= self._last:
                self._done = True
                break
        overloaded = self._handover.overloaded
        if overloaded != self._core.states.holds("late"):
            why = "hops come too late to be played" if overloaded else None
            self._core.fault("late", why, block.available)

    def _record_pull(self, samples: Floats, stamps: NDArray[np.float64], available: float) -> None:
        """All that mel and audio follow from: samples, their arrival, whose they are, the gain."""
        self._record.samples(samples, stamps, available, self.source.returns, self.gain_db)

    def _carry(self, hop: Hop) -> None:
        counts, dropped = self.counts, self._handover.dropped
        self._handover.hop(hop, pylsl.local_clock(), self._core.burst_s)
        handed_over = pylsl.local_clock()
        compute_s = handed_over - hop.available
        late = compute_s > self._hop_s
        offset_s = self._clock.offset_s
        self._record.hop(hop, handed_over, offset_s, late)
        for sink in self._sinks:
            sink(hop, handed_over, offset_s, late)
        self.times.add(compute_s)
        self.masked = hop.masked
        counts.hops += 1
        counts.late_hops += late
        counts.dropped_hops += self._handover.dropped - dropped
        counts.not_finite_hops += not hop.finite
        if counts.hops == 1:
            self.first_hop_s = process_age_s()

    # --- what else there is -------------------------------------------------------------------

    def _look_around(self, now: float) -> None:
        """Twice a second: is there sound, is there a record."""
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        silent = None if self._playout.stats().alive else "there is no sound device"
        self._core.fault("sound", silent, now)
        self._core.fault("record", self._record.trouble, now)

    def _obey(self) -> None:
        while (command := self._operator.poll()) is not None:
            self._do(command, pylsl.local_clock())

    def _do(self, command: Command, now: float) -> None:
        if command.verb in ("mute", "unmute"):
            self._emit(Event(command.verb, command.time, {"by": "operator"}))
        if command.verb == "mute":
            self._core.fault("operator", "muted by the operator", now)
        elif command.verb == "unmute":
            self._core.fault("operator", None, now)
        elif command.verb == "gain":
            self._pipeline.limiter.amplify(command.gain_db)
            said = {"gain_db": self.gain_db, "hop": self._pipeline.next_hop}
            self._emit(Event("gain", now, said))
        elif command.verb == "note":
            self._emit(Event("note", command.time, {"text": command.text}))
        else:
            self._emit(Event("stop", command.time, {"by": "operator"}))
            self._stop.set()
