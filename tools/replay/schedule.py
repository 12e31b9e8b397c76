"""Streams to commands in the order of their times: what is pushed when, and what goes wrong.

Times count from the beginning of the window; a loop goes on counting. Faults are those of
`tools.faults`, put into one stream; their times count from its first sample that is played.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, count
from operator import itemgetter

import numpy as np

from models.errors import MontageError
from realtime.units import microvolts_per_unit
from tools.faults.inject import Command, Push, due_of, inject
from tools.faults.packets import Injected
from tools.faults.plan import FaultPlan, LineNoise, Saturation
from tools.faults.source import Block, Blocks, Description
from tools.replay.choice import Window
from tools.replay.packets import packets, within
from tools.replay.streams import About, RecordedStream

Item = tuple[float, int, Command]
"""When it is due, the place of its stream, and what to do."""


@dataclass(frozen=True)
class Playing:
    """How the streams are played.

    Parameters
    ----------
    sizes : samples per packet of each stream.
    loop : begin again at the end of the window.
    own_packets : streams that know their packets keep them.
    plan : faults, and `faulty`, the place of the stream they are put into.
    """

    streams: Sequence[RecordedStream]
    window: Window
    sizes: Sequence[int]
    loop: bool = False
    own_packets: bool = True
    plan: FaultPlan | None = None
    faulty: int = -1


def schedule(playing: Playing) -> Iterator[Item]:
    """All commands, in the order of their times.

    Raises
    ------
    SettingsError
        At once, if the plan does not fit its stream.
    MontageError
        At once, if faults in microvolts are put into a stream of unknown unit.
    """
    each = [_tagged(_commands(playing, place), place) for place in range(len(playing.streams))]
    return heapq.merge(*each, key=itemgetter(0))


def _tagged(commands: Iterator[Command], place: int) -> Iterator[Item]:
    for command in commands:
        yield due_of(command), place, command


def _commands(playing: Playing, place: int) -> Iterator[Command]:
    if playing.plan is not None and place == playing.faulty:
        return _faulty(playing, place, playing.plan)
    return (
        Push(float(block.times[-1]), block.samples, block.stamps)
        for block in _blocks(playing, place, playing.sizes[place])
    )


def _blocks(playing: Playing, place: int, size: int) -> Blocks:
    """Packets of a stream, from 0, again and again in a loop."""
    stream, window = playing.streams[place], playing.window
    for turn in count():
        shift, any_at_all = turn * window.seconds, False
        inside = within(stream.blocks(window.start_s), window)
        if not (stream.paced and playing.own_packets):
            inside = packets(inside, size, stream.about.rate_hz)
        for block in inside:
            any_at_all = True
            yield Block(block.samples, block.times + shift, block.stamps + shift) if turn else block
        if not (playing.loop and any_at_all):
            return


def _faulty(playing: Playing, place: int, plan: FaultPlan) -> Iterator[Command]:
    """Its commands with the faults of a plan; times of faults count from its first sample."""
    about = playing.streams[place].about
    blocks = _blocks(playing, place, plan.packet or playing.sizes[place])
    first = next(blocks, None)
    if first is None:
        return iter(())
    start_s = float(first.times[0])
    moved = (_moved(block, -start_s) for block in chain((first,), blocks))
    # The packets are made above, where gaps are known.
    commands = inject(moved, _described(about, plan), plan.model_copy(update={"packet": None}))
    return (_later(command, start_s) for command in commands)


def _moved(block: Block, by_s: float) -> Block:
    return Block(block.samples, block.times + by_s, block.stamps + by_s)


def _later(command: Command, by_s: float) -> Command:
    if isinstance(command, Push):
        return Push(command.due + by_s, command.samples, command.stamps + by_s)
    if isinstance(command, Injected):
        return replace(command, time=command.time + by_s)
    return replace(command, due=command.due + by_s)


def _described(about: About, plan: FaultPlan) -> Description:
    return Description(
        about.labels,
        Fraction(about.rate_hz).limit_denominator(1_000_000),
        about.name,
        about.source_id,
        about.type,
        dtype=np.dtype(about.format.replace("double64", "float64")).name,
        uv=_microvolts(about, plan),
    )


def _microvolts(about: About, plan: FaultPlan) -> float:
    """Microvolts in one unit of the stream; 1 where no fault asks."""
    if not any(isinstance(fault, Saturation | LineNoise) for fault in plan.faults):
        return 1.0
    units = sorted(set(about.units))
    if len(units) > 1:
        raise MontageError(
            f"the channels of {about} have the units {', '.join(unit or 'none' for unit in units)}",
            "one unit, where faults are stated in microvolts",
            "leave saturation and line_noise out",
        )
    return microvolts_per_unit(units[0])
