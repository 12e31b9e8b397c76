"""Streams of an XDF file, read in pieces of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from models.errors import RecordingError
from realtime.recordings.xdf_file import XdfFile
from realtime.recordings.xdf_header import XdfHeader
from realtime.recordings.xdf_index import JUMP_S
from tools.faults.source import Blocks, Times
from tools.replay.describe import with_unit
from tools.replay.streams import About, Opened, RecordedStream, rising


def open_xdf(path: Path, unit: str | None = None) -> Opened:
    """Open an XDF file; every stream on the recorder's clock by its clock offsets.

    Parameters
    ----------
    unit : what streams of sEEG are to say, instead of what the file says; values stay.

    Raises
    ------
    RecordingError
        If it is no XDF file, or holds no stream.
    """
    file = XdfFile(path)
    opened = Opened([_stream(file, header) for header in file.streams], list(file.notes))
    opened.files.callback(file.close)
    if unit is not None:
        opened.streams = [_restated(stream, unit) for stream in opened.streams]
    return opened


def _restated(stream: RecordedStream, unit: str) -> RecordedStream:
    about = stream.about
    return replace(stream, about=with_unit(about, unit)) if about.is_seeg else stream


def _stream(file: XdfFile, header: XdfHeader) -> RecordedStream:
    about, samples = _about(file.path, header), file.samples(header.id)

    def blocks(since_s: float) -> Blocks:
        begin = file.sample_at(header.id, since_s) if since_s > first_s else 0
        return rising(_pieces(file, header.id, begin))

    ends = file.block_times(header.id)
    first_s = float(ends.min()) if samples else np.nan
    last_s = float(ends.max()) if samples else np.nan
    trouble = _trouble(file, header)
    return RecordedStream(about, samples, first_s, last_s, blocks, trouble=trouble)


def _pieces(file: XdfFile, stream: int, begin: int) -> Iterator[tuple[Any, Times]]:
    for piece in file.pieces(stream, begin):
        yield piece.values, piece.stamps


def _about(path: Path, header: XdfHeader) -> About:
    desc = ElementTree.fromstring(header.xml).find("desc")
    return About(
        # liblsl refuses an outlet without a name.
        name=header.name or f"{path.stem}-{header.id}",
        type=header.type,
        source_id=header.source_id,
        format=header.format,
        channels=header.channels,
        rate_hz=header.rate,
        desc=ElementTree.Element("desc") if desc is None else desc,
    )


def _trouble(file: XdfFile, header: XdfHeader) -> RecordingError | None:
    """Timestamps that step back by more than drivers make packets overlap."""
    steps = file.jumps(header.id)
    back = [(sample, step_s) for sample, step_s in steps if step_s < -JUMP_S]
    if not back:
        return None
    sample, step_s = back[0]
    return RecordingError(
        f"the timestamps of stream {header} of {file.path} step back by {-step_s:.3f} s at "
        f"sample {sample}" + (f", and {len(back) - 1} times more" if len(back) > 1 else ""),
        "rising timestamps, or clock offsets on both sides of a reset",
        "leave the stream out with --streams, or export the parts as files of their own",
    )
