"""Timestamps put on a regular grid: jitter goes, gaps stay, as whole samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from realtime.recordings.xdf_grid import Grid, Survey
from tools.faults.source import Block, Blocks
from tools.replay.streams import RecordedStream

_LEAST = 2


def regularised(stream: RecordedStream) -> tuple[RecordedStream, list[str]]:
    """The stream on the grid that all its timestamps agree on, and notes.

    Irregular streams stay as they are, and so do streams of one sample.

    Raises
    ------
    RecordingError
        If the timestamps step back by more than half a second, or leave out more than an hour.
    """
    about = stream.about
    if not about.rate_hz or stream.samples < _LEAST:
        return stream, []
    survey = Survey(f"stream {about}", about.rate_hz)
    for block in stream.blocks(-np.inf):
        survey.add(block.stamps)
    grid = survey.grid()

    def blocks(since_s: float) -> Blocks:
        return _on_grid(stream.blocks(-np.inf), grid, since_s)

    last_s = grid.start_s + (grid.rows - 1) / grid.rate
    moved = replace(
        stream, first_s=grid.start_s, last_s=last_s, blocks=blocks, paced=False, trouble=None
    )
    return moved, _notes(about.name, about.rate_hz, grid)


def _on_grid(blocks: Blocks, grid: Grid, since_s: float) -> Iterator[Block]:
    parts = np.array(grid.parts(), np.int64)
    # Sample `first` of a part stands in its row 0; the samples of a part are consecutive.
    firsts, shifts = parts[:, 2], parts[:, 0] - parts[:, 2]
    lasts = firsts + parts[:, 1] - parts[:, 0]
    count = 0
    for block in blocks:
        index = np.arange(count, count + len(block.times))
        count += len(index)
        part = np.searchsorted(firsts, index, "right") - 1
        times = grid.start_s + (index + shifts[part]) / grid.rate
        kept = (part >= 0) & (index < lasts[part]) & (times >= since_s)
        if kept.all():
            yield Block(block.samples, times, times)
        elif kept.any():
            yield Block(block.samples[kept], times[kept], times[kept])


def _notes(name: str, rate_hz: float, grid: Grid) -> list[str]:
    ppm = (grid.rate / rate_hz - 1) * 1e6
    notes = [f"stream '{name}': on a grid of {grid.rate:.4f} Hz ({ppm:+.0f} ppm of the stated)"]
    if grid.lost:
        notes[0] += f", with {grid.lost} samples lost in {len(grid.gaps)} gaps"
    if grid.doubled:
        notes[0] += f"; {grid.doubled} that overlap earlier ones are left out"
    return notes
