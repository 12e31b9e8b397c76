"""Faults of when samples come and what their timestamps say; each a stage over packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from tools.faults.occurrences import Occurrence, Occurrences
from tools.faults.packets import Note, Packet, Packets
from tools.faults.plan import Backward, Burst, ClockJump, Drift, Duplicate, Jitter
from tools.faults.source import Block, Blocks, Times


def lose_samples(blocks: Blocks, gaps: Occurrences, note: Note) -> Blocks:
    """Take samples out."""
    for block in blocks:
        times = block.times
        running, new = gaps.during(float(times[0]), float(times[-1]))
        for occurrence in new:
            note(occurrence.told())
        kept = np.ones(len(times), np.bool_)
        for occurrence in running:
            kept[occurrence.rows(times)] = False
        if kept.all():
            yield block
        elif kept.any():
            yield block.part(kept)


def cut_packets(blocks: Blocks, size: int | None, bursts: list[Occurrences], note: Note) -> Blocks:
    """Cut blocks into packets of `size` samples, of another where a burst says so.

    None keeps the blocks as packets. A packet of another size begins with the first sample of the
    burst; what was collected until then is sent as it is.
    """
    if size is None and not bursts:
        yield from blocks
        return
    held: list[Block] = []
    count, wanted = 0, size
    for block in blocks:
        for start, stop, now_wanted in _sizes(block.times, size, bursts, note):
            if now_wanted != wanted and count:
                yield _joined(held)
                held, count = [], 0
            wanted = now_wanted
            while start < stop:
                # Without a size of its own, outside of bursts: as the source has it.
                take = stop - start if wanted is None else min(wanted - count, stop - start)
                held.append(block.part(slice(start, start + take)))
                start, count = start + take, count + take
                if wanted is None or count == wanted:
                    yield _joined(held)
                    held, count = [], 0
    if held:
        yield _joined(held)


def _sizes(
    times: Times, size: int | None, bursts: list[Occurrences], note: Note
) -> Iterator[tuple[int, int, int | None]]:
    """Spans of rows with the packet size that holds in them."""
    sizes = np.full(len(times), -1 if size is None else size)
    for occurrences in bursts:
        running, new = occurrences.during(float(times[0]), float(times[-1]))
        for occurrence in new:
            note(occurrence.told())
        for occurrence in running:
            assert isinstance(occurrence.fault, Burst)
            sizes[occurrence.rows(times)] = occurrence.fault.samples
    edges = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(sizes)]
    for start, stop in pairwise(edges):
        yield start, stop, None if sizes[start] < 0 else int(sizes[start])


def _joined(held: list[Block]) -> Block:
    return held[0] if len(held) == 1 else Block(*map(np.concatenate, zip(*held, strict=True)))


def on_time(packets: Blocks) -> Packets:
    """Packets that are due with their last sample and stamped as the source has it."""
    for samples, times, stamps in packets:
        yield Packet(samples, times, stamps, float(times[-1]))


class Warp:
    """True time of a source whose sample clock drifts: piecewise linear, rates multiply."""

    def __init__(self, drifts: list[Occurrences]) -> None:
        self._drifts = drifts
        self._edges: list[tuple[float, float]] = []

    def __call__(self, times: Times, note: Note) -> Times:
        """What to add to `(n,)` source times for true ones; call with times that never fall."""
        for drift in self._drifts:
            for occurrence in drift.begun(float(times[-1])):
                assert isinstance(occurrence.fault, Drift)
                note(occurrence.told())
                self._add(occurrence, occurrence.fault.ppm)
        shift = np.zeros_like(times)
        for start, factor in self._edges:
            shift += factor * np.maximum(times - start, 0.0)
        return shift

    def _add(self, occurrence: Occurrence, ppm: float) -> None:
        # A clock that is fast by ppm takes its samples closer together.
        factor = 1 / (1 + 1e-6 * ppm) - 1
        self._edges.append((occurrence.start, factor))
        if occurrence.end < float("inf"):
            self._edges.append((occurrence.end, -factor))


def drift(packets: Packets, drifts: list[Occurrences], note: Note) -> Packets:
    """Samples are taken faster or slower than nominal; stamps and deliveries follow."""
    warp = Warp(drifts)
    for packet in packets:
        shift = warp(packet.times, note)
        due = float(packet.times[-1] + shift[-1])
        yield replace(packet, stamps=packet.stamps + shift, due=due)


def restamp(packets: Packets, faults: list[Occurrences], note: Note) -> Packets:
    """Clock jumps, and single packets stamped too early."""
    shift = 0.0
    for packet in packets:
        early = 0.0
        for occurrences in faults:
            for occurrence in occurrences.begun(float(packet.times[-1])):
                note(occurrence.told())
                if isinstance(occurrence.fault, ClockJump):
                    shift += occurrence.fault.seconds
                elif isinstance(occurrence.fault, Backward):
                    early += occurrence.fault.ms / 1e3
        moved = shift - early
        yield replace(packet, stamps=packet.stamps + moved) if moved else packet


def jitter(packets: Packets, jitters: Occurrences, note: Note) -> Packets:
    """Late packets, or packets stamped late; both keep their order."""
    for packet in packets:
        running, new = jitters.during(float(packet.times[0]), float(packet.times[-1]))
        for occurrence in new:
            note(occurrence.told())
        if running:
            fault = running[0].fault
            assert isinstance(fault, Jitter)
            late = abs(float(jitters.rng.normal(0.0, fault.sd_ms / 1e3)))
            if fault.of == "stamps":
                packet = replace(packet, stamps=packet.stamps + late)
            else:
                packet = replace(packet, due=packet.due + late)
        yield packet


def stall(packets: Packets, stalls: Occurrences, note: Note) -> Packets:
    """Hold what falls into a stall back until its end."""
    for packet in packets:
        running, new = stalls.during(float(packet.times[-1]), float(packet.times[-1]))
        for occurrence in new:
            note(occurrence.told())
        until = max((occurrence.end for occurrence in running), default=packet.due)
        yield replace(packet, due=max(packet.due, until))


def in_order(packets: Packets) -> Packets:
    """No packet overtakes another: a stream is a byte stream."""
    due = float("-inf")
    for packet in packets:
        due = max(due, packet.due)
        yield replace(packet, due=due)


def duplicate(packets: Packets, duplicates: Occurrences, note: Note) -> Packets:
    """Send the last samples again, right after themselves."""
    fault = duplicates.fault
    assert isinstance(fault, Duplicate)
    last: list[Packet] = []
    for packet in packets:
        yield packet
        last = _tail([*last, packet], fault.samples)
        for occurrence in duplicates.begun(float(packet.times[-1])):
            note(occurrence.told())
            samples = np.concatenate([p.samples for p in last])[-fault.samples :]
            times = np.concatenate([p.times for p in last])[-fault.samples :]
            stamps = np.concatenate([p.stamps for p in last])[-fault.samples :]
            yield Packet(samples, times, stamps, packet.due)


def _tail(packets: list[Packet], samples: int) -> list[Packet]:
    """The last packets that hold at least so many samples."""
    count = 0
    for place in range(len(packets) - 1, -1, -1):
        count += len(packets[place].times)
        if count >= samples:
            return packets[place:]
    return packets
