"""An LSL outlet that carries out commands at their due times, and a marker stream that tells.

The pace is that of absolute due times: a late push does not delay the next, nothing drifts.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pylsl
from numpy.typing import NDArray

from realtime.streams import write_description
from realtime.units import microvolts_per_unit
from tools.faults.inject import Command, Push, due_of
from tools.faults.outage import Close, Open
from tools.faults.packets import Injected
from tools.faults.source import Description, Samples

BUFFER_S = 30
"""What an outlet keeps for a slow consumer, seconds; of an irregular stream 100 samples each."""
LEAD_S = 0.05
"""From the first consumer to the first sample: the consumer's other end is then surely open."""
# A sleep ends up to 0.1 ms late, and on a busy machine more.
_SPIN_S = 0.0002
_FORMATS = {
    "float32": pylsl.cf_float32,
    "float64": pylsl.cf_double64,
    "int16": pylsl.cf_int16,
    "int32": pylsl.cf_int32,
}
Told = Callable[[float, Injected], None]
Opener = Callable[[Open | None], pylsl.StreamOutlet]
"""Opens the outlet: as it is at the start, or as it returns."""


def play(
    commands: Iterator[Command],
    description: Description,
    *,
    stop: threading.Event,
    wait_for_consumer: bool = True,
    linger_s: float = 0.5,
    markers: bool = False,
    on_ready: Callable[[str], None] = lambda source_id: None,
    on_injected: Told = lambda time, injected: None,
) -> int:
    """Be the outlet; return the number of samples pushed.

    A push happens when it is due, never before, and carries its own timestamps, moved to the LSL
    clock: due and stamps of 0 are the moment at which the first sample is taken.

    Parameters
    ----------
    commands : of `inject.inject`.
    description : of the outlet that is open at the start.
    stop : set from outside to stop within a packet.
    wait_for_consumer : hold the first sample until somebody listens.
    linger_s : how long the stream stays open after the last command.
    markers : open a second stream, `<name>-faults` of type Markers, that tells each fault as JSON.
    on_ready : called with the source id once the stream can be found.
    on_injected : called with the LSL time of each fault as it is injected.

    Raises
    ------
    MontageError
        If the unit is unknown.
    """

    def opened(again: Open | None) -> pylsl.StreamOutlet:
        return open_outlet(description if again is None else again.description)

    encode = encoder(description)
    told = open_markers(description.name, description.source_id) if markers else None
    carrier = Carrier(opened, encode, told, on_injected)
    on_ready(description.source_id)
    while wait_for_consumer and not stop.is_set() and not carrier.heard(0.1):
        pass
    start = pylsl.local_clock() + LEAD_S
    for command in commands:
        if not wait_until(start + due_of(command), stop):
            break
        carrier.do(command, start)
    stop.wait(linger_s)
    return carrier.pushed


class Carrier:
    """The outlet as it is now, and its marker stream; `do` never waits.

    Parameters
    ----------
    opener : opens the outlet, at once and whenever a loss of it ends.
    encode : from samples of a command to what the outlet takes.
    markers : where faults are told; None tells nobody.
    on_injected : called with the LSL time of each fault as it is injected.
    """

    def __init__(
        self,
        opener: Opener,
        encode: Callable[[Any], Any] = lambda samples: samples,
        markers: pylsl.StreamOutlet | None = None,
        on_injected: Told = lambda time, injected: None,
    ) -> None:
        self._opener, self._encode, self._on_injected = opener, encode, on_injected
        self._outlet: pylsl.StreamOutlet | None = opener(None)
        self._markers = markers
        self.pushed = self.packets = self.faults = 0

    def heard(self, timeout_s: float) -> bool:
        """Whether somebody listens, or begins to within `timeout_s`."""
        return self._outlet is not None and bool(self._outlet.wait_for_consumers(timeout_s))

    def do(self, command: Command, start: float, speed: float = 1.0) -> None:
        """Carry out a command.

        Parameters
        ----------
        start : LSL time of the command's time 0.
        speed : how much faster than in truth its time runs.
        """
        if isinstance(command, Push):
            if self._outlet is not None:
                stamps = (command.stamps / speed + start).tolist()
                self._outlet.push_chunk(self._encode(command.samples), stamps)
                self.pushed += len(stamps)
                self.packets += 1
        elif isinstance(command, Injected):
            self._tell(start + command.time / speed, command)
        elif isinstance(command, Close):
            self._outlet = None
        else:
            # The old one goes first: both would answer to the same source id.
            self._outlet = None
            self._outlet = self._opener(command)

    def _tell(self, time: float, injected: Injected) -> None:
        self.faults += 1
        self._on_injected(time, injected)
        if self._markers is not None:
            text = json.dumps({"fault": injected.kind, **injected.detail}, ensure_ascii=False)
            self._markers.push_sample([text], time)


def wait_until(time: float, stop: threading.Event) -> bool:
    """Wait until the LSL clock says `time`; False if `stop` was set before."""
    while (left_s := time - pylsl.local_clock()) > _SPIN_S:
        if stop.wait(left_s - _SPIN_S):
            return False
    while pylsl.local_clock() < time:
        pass
    return not stop.is_set()


def open_outlet(description: Description) -> pylsl.StreamOutlet:
    """An outlet with this description, open at once."""
    info = pylsl.StreamInfo(
        description.name,
        description.type,
        len(description.labels),
        float(description.fs),
        _FORMATS[description.dtype],
        description.source_id,
    )
    write_description(
        info,
        description.labels,
        description.unit,
        description.channel_type,
        manufacturer="seegvox (simulated)",
    )
    return pylsl.StreamOutlet(info, 0, BUFFER_S)


def encoder(description: Description) -> Callable[[Samples], NDArray[np.generic]]:
    """From microvolts to the stream's unit and format; integers saturate.

    Raises
    ------
    MontageError
        If the unit is unknown.
    """
    per_unit, kind = microvolts_per_unit(description.unit), np.dtype(description.dtype)
    if np.issubdtype(kind, np.integer):
        limits = np.iinfo(kind)

        def whole(rows: Samples) -> NDArray[np.generic]:
            scaled = np.rint(rows.astype(np.float64) / per_unit)
            return np.clip(scaled, limits.min, limits.max).astype(kind)

        return whole
    if per_unit == 1.0:
        return lambda rows: rows.astype(kind, copy=False)
    return lambda rows: (rows.astype(np.float64) / per_unit).astype(kind)


def open_markers(name: str, source_id: str) -> pylsl.StreamOutlet:
    """The stream `<name>-faults`, of type Markers, on which faults are told."""
    info = pylsl.StreamInfo(
        f"{name}-faults",
        "Markers",
        1,
        pylsl.IRREGULAR_RATE,
        pylsl.cf_string,
        f"{source_id}-faults",
    )
    return pylsl.StreamOutlet(info)
