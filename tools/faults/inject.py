"""A clean source and a plan to scheduled commands: a pure transform, no clock, no LSL.

blocks -> content -> gaps -> packets -> drift -> stamps -> jitter -> stalls -> duplicates -> loss
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.errors import SettingsError
from tools.faults import timing
from tools.faults.content import apply_content, check_contacts
from tools.faults.occurrences import Occurrences
from tools.faults.outage import Close, Open, lose_outlet
from tools.faults.packets import Injected, Note, Packet, Packets
from tools.faults.plan import (
    Backward,
    Burst,
    ClockJump,
    Drift,
    Duplicate,
    Fault,
    FaultPlan,
    Gap,
    Infinity,
    Jitter,
    Loss,
    NotANumber,
    OnContacts,
    Stall,
)
from tools.faults.source import Blocks, Description, Times


@dataclass(frozen=True)
class Push:
    """Send `samples` `(n, channels)` stamped `stamps` `(n,)`, at `due`; seconds."""

    due: float
    samples: Any
    stamps: Times


Command = Push | Open | Close | Injected
"""What to do next; in the order to do it. `Injected` tells of a fault and is due at its `time`."""


def due_of(command: Command) -> float:
    """When a command is to be carried out, seconds."""
    return command.time if isinstance(command, Injected) else command.due


def inject(blocks: Blocks, description: Description, plan: FaultPlan) -> Iterator[Command]:
    """Commands for an outlet that plays `blocks` with everything that `plan` wants wrong.

    Times of all commands are seconds from the source's first sample. The outlet is open at the
    start. The same plan and samples give the same commands, however the blocks are cut, as long
    as the plan or the source says what a packet is.

    Parameters
    ----------
    blocks : samples, their times in seconds from 0, and what their stamps say.
    description : of the stream.
    plan : what goes wrong.

    Raises
    ------
    SettingsError
        If the plan does not fit the source: contacts it has not, NaN as integers.
    """
    _check(plan, description)
    notes: list[Injected] = []
    packets = _packets(blocks, description, plan, notes.append)
    outages = _of(plan, description, Loss)
    commands = lose_outlet(packets, outages, description, notes.append) if outages else packets
    return _with_notes(commands, notes)


def _packets(blocks: Blocks, description: Description, plan: FaultPlan, note: Note) -> Packets:
    """The stages that the plan needs; a plan without faults costs nothing but the cutting."""
    if content := _of(plan, description, OnContacts):
        blocks = apply_content(blocks, content, description.labels, note, description.uv)
    for gaps in _of(plan, description, Gap):
        blocks = timing.lose_samples(blocks, gaps, note)
    bursts = _of(plan, description, Burst)
    packets = timing.on_time(timing.cut_packets(blocks, plan.packet, bursts, note))
    if drifts := _of(plan, description, Drift):
        packets = timing.drift(packets, drifts, note)
    if stamps := _of(plan, description, ClockJump, Backward):
        packets = timing.restamp(packets, stamps, note)
    return _late(packets, description, plan, note)


def _late(packets: Packets, description: Description, plan: FaultPlan, note: Note) -> Packets:
    for jitters in _of(plan, description, Jitter):
        packets = timing.jitter(packets, jitters, note)
    for stalls in _of(plan, description, Stall):
        packets = timing.stall(packets, stalls, note)
    if _of(plan, description, Jitter, Stall):
        packets = timing.in_order(packets)
    for duplicates in _of(plan, description, Duplicate):
        packets = timing.duplicate(packets, duplicates, note)
    return packets


def _of(plan: FaultPlan, description: Description, *kinds: type[Fault]) -> list[Occurrences]:
    fs = float(description.fs)
    return [
        Occurrences(fault, plan, index, fs)
        for index, fault in enumerate(plan.faults)
        if isinstance(fault, kinds)
    ]


def _with_notes(
    commands: Iterator[Packet | Open | Close], notes: list[Injected]
) -> Iterator[Command]:
    """Tell each fault once it is due, before what is due later."""
    for command in commands:
        notes.sort(key=lambda told: told.time)
        while notes and notes[0].time <= command.due:
            yield notes.pop(0)
        if isinstance(command, Packet):
            yield Push(command.due, command.samples, command.stamps)
        else:
            yield command
    yield from notes


def _check(plan: FaultPlan, description: Description) -> None:
    whole = np.issubdtype(np.dtype(description.dtype), np.integer)
    for fault in plan.faults:
        if isinstance(fault, OnContacts):
            check_contacts(fault, description.labels)
        if isinstance(fault, Loss):
            _check_names(fault, description)
        if whole and isinstance(fault, NotANumber | Infinity):
            raise SettingsError(
                f"{description.dtype} cannot hold NaN or infinity",
                "samples of float32 or float64",
                "choose another format, or leave these faults out",
            )


def _check_names(fault: Loss, description: Description) -> None:
    unknown = sorted({*fault.drop, *fault.rename} - set(description.labels))
    if unknown:
        raise SettingsError(
            f"the source has no contact {', '.join(unknown)}", "names of its contacts", "correct it"
        )
