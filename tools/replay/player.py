"""The outlets, and the clock that decides when each gets what.

One thread pushes for all streams, each packet at its own absolute due time: a late push delays no
later one, and nothing drifts. A pause moves all that is still due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pylsl

from tools.faults.inject import Push
from tools.faults.outage import Open
from tools.faults.outlet import LEAD_S, Carrier, Opener, Told, open_markers, wait_until
from tools.replay.ahead import Ahead
from tools.replay.control import Control
from tools.replay.describe import info_of, with_columns
from tools.replay.lateness import Lateness
from tools.replay.streams import STRING, About

_LOOK_S = 0.05
_BUFFER_S = 20
"""What an outlet keeps for a slow consumer, seconds of the recording."""


@dataclass
class Line:
    """One stream on its way: its description, its outlet, and how late its packets were."""

    about: About
    carrier: Carrier
    late: Lateness = field(default_factory=Lateness)


@dataclass
class Played:
    """How far the player is; read by whoever shows it."""

    position_s: float = 0.0
    paused_s: float = 0.0
    begun: bool = False
    late: Lateness = field(default_factory=Lateness)


def open_lines(
    abouts: Sequence[About],
    file: str,
    speed: float,
    faulty: int | None = None,
    on_injected: Told = lambda time, injected: None,
) -> list[Line]:
    """Open all outlets, and a marker stream of faults for the one that has some.

    Every description is made before the first outlet appears.

    Parameters
    ----------
    file : what the outlets say they replay.
    speed : how many times faster than recorded.
    faulty : place of the stream that faults are put into.
    """
    infos = [info_of(about, file, speed) for about in abouts]
    lines = []
    for place, (about, info) in enumerate(zip(abouts, infos, strict=True)):
        told = open_markers(about.name, about.source_id or about.name) if place == faulty else None
        encode = _rows if about.format == STRING else _as_it_is
        opener = _opener(about, info, file, speed)
        lines.append(Line(about, Carrier(opener, encode, told, on_injected)))
    return lines


def _opener(about: About, info: pylsl.StreamInfo, file: str, speed: float) -> Opener:
    # In seconds of its own rate, and its memory goes by samples.
    buffer_s = max(1, round(_BUFFER_S / speed))

    def opened(again: Open | None) -> pylsl.StreamOutlet:
        if again is None:
            return pylsl.StreamOutlet(info, 0, buffer_s)
        said = again.description
        returned = with_columns(about, again.columns, said.labels, float(said.fs), said.source_id)
        return pylsl.StreamOutlet(info_of(returned, file, speed), 0, buffer_s)

    return opened


def _as_it_is(samples: object) -> object:
    return samples


def _rows(samples: Sequence[tuple[str, ...]]) -> list[list[str]]:
    return [list(row) for row in samples]


def wait_for_listeners(lines: Sequence[Line], everybody: bool, control: Control) -> None:
    """Wait until somebody listens to one of the streams, or to each of them."""
    enough = all if everybody else any
    while not control.stopped and not enough([line.carrier.heard(0.0) for line in lines]):
        time.sleep(_LOOK_S)


def play(
    lines: Sequence[Line],
    items: Ahead,
    control: Control,
    speed: float = 1.0,
    linger_s: float = 0.5,
    played: Played | None = None,
    on_start: Callable[[float], None] = lambda start: None,
) -> Played:
    """Carry out all items when they are due.

    Samples are stamped as recorded, moved to the local LSL clock: the beginning of the window is
    `LEAD_S` from now, and nothing is pushed before its own timestamp.

    Parameters
    ----------
    speed : how many times faster than recorded; stamps stand closer together by as much.
    linger_s : how long the outlets stay open after the last item.
    played : kept up to date.
    on_start : called with the LSL time of the beginning.
    """
    played = played or Played()
    start = pylsl.local_clock() + LEAD_S
    on_start(start)
    played.begun = True
    for due, place, command in items:
        while not wait_until(start + due / speed, control.wake):
            if control.stopped:
                return played
            held = pylsl.local_clock()
            control.wait_resumed()
            pause_s = pylsl.local_clock() - held
            start += pause_s
            played.paused_s += pause_s
        line = lines[place]
        line.carrier.do(command, start, speed)
        played.position_s = due
        if isinstance(command, Push):
            late_s = pylsl.local_clock() - (start + due / speed)
            line.late.add(late_s)
            played.late.add(late_s)
    control.wake.wait(linger_s)
    return played
