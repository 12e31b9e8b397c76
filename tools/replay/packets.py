"""Samples to packets: XDF does not keep the sender's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from tools.faults.source import Block, Blocks
from tools.replay.choice import Window
from tools.replay.streams import RecordedStream

PACKET_S = 1 / 64
"""Without a size, packets last that long: 16 samples at 1024 Hz, 750 at 48 kHz."""
_GAP_S = 0.02


def sizes(streams: Sequence[RecordedStream], burst: int | None) -> list[int]:
    """Samples per packet of each stream.

    Parameters
    ----------
    burst : of the sEEG (of the slowest steady stream, without sEEG); packets of the other steady
        streams last as long. Samples of irregular streams come one by one.
    """
    rates = [s.about.rate_hz for s in streams]
    steady = [rate for rate in rates if rate]
    lead = next((s.about.rate_hz for s in streams if s.about.is_seeg and s.about.rate_hz), None)
    lead = lead or min(steady, default=1.0)
    seconds = PACKET_S if burst is None else burst / lead
    return [max(1, round(rate * seconds)) if rate else 1 for rate in rates]


def within(blocks: Blocks, window: Window) -> Iterator[Block]:
    """What is due in the window, moved so that the window begins at 0."""
    for block in blocks:
        first, stop = np.searchsorted(block.times, (window.start_s, window.stop_s))
        if first < stop:
            part = block.part(slice(int(first), int(stop)))
            moved = part.stamps - window.start_s
            yield Block(part.samples, part.times - window.start_s, moved)
        if stop < len(block.times):
            return


def packets(blocks: Blocks, size: int, rate_hz: float) -> Iterator[Block]:
    """Packets of `size` samples; one that a gap falls into ends before the gap.

    Else what came before the gap would be held back until after it.
    """
    gap_s = max(size / rate_hz, _GAP_S) if rate_hz else np.inf
    held: list[Block] = []
    count, last = 0, np.nan
    for block in blocks:
        far = np.flatnonzero(np.diff(block.times, prepend=last) > gap_s).tolist()
        last = float(block.times[-1])
        for start, stop in _spans(far, len(block.times)):
            if count and start in far:
                yield _joined(held)
                held, count = [], 0
            while start < stop:
                take = min(size - count, stop - start)
                held.append(block.part(slice(start, start + take)))
                start, count = start + take, count + take
                if count == size:
                    yield _joined(held)
                    held, count = [], 0
    if held:
        yield _joined(held)


def _spans(cuts: list[int], count: int) -> Iterator[tuple[int, int]]:
    edges = sorted({0, *cuts, count})
    yield from pairwise(edges)


def _joined(held: list[Block]) -> Block:
    if len(held) == 1:
        return held[0]
    samples = [block.samples for block in held]
    joined = (
        np.concatenate(samples)
        if isinstance(samples[0], np.ndarray)
        else [row for rows in samples for row in rows]
    )
    times = np.concatenate([block.times for block in held])
    return Block(joined, times, np.concatenate([block.stamps for block in held]))
