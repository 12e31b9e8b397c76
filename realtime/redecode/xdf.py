"""A stream of an XDF file as it was recorded: its own stamps, gaps, jitter and all.

Stamps stay on the sender's clock, as an inlet gives them. When a sample was taken, and so when a
burst arrives, is by the recorder's clock, where the file's clock offsets put it: a sender whose
clock was reset does not go back in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np

from models.errors import MontageError, RecordingError
from models.montage import match_labels
from models.spec import BundleSpec
from realtime.recordings.amplitude import Unit
from realtime.recordings.xdf_file import XdfFile, listed
from realtime.recordings.xdf_header import STRING, XdfHeader
from realtime.redecode.series import (
    Part,
    Series,
    check_plausible,
    check_rate,
    factors,
    refuse_short,
)
from realtime.streams import NEURAL_TYPES, rate_of

_ROWS = 1 << 14


def xdf_series(
    path: Path,
    spec: BundleSpec,
    unit: Unit | None,
    stream: str | None,
    allow_missing: Sequence[str],
) -> Series:
    """The sEEG stream of an XDF file; see `open_series`."""
    file = XdfFile(path)
    try:
        header = seeg_stream(file, stream)
        series = _series(file, header, spec, unit, allow_missing)
    except BaseException:
        file.close()
        raise
    return series


def seeg_stream(file: XdfFile, name: str | None = None) -> XdfHeader:
    """The stream of that name, or the only one of a neural type with samples.

    Raises
    ------
    RecordingError
        If there is none, or several could be meant; lists what the file holds.
    """
    neural = {text.casefold() for text in NEURAL_TYPES}
    if name is not None:
        found = [header for header in file.streams if header.name == name]
    else:
        found = [h for h in file.streams if h.type.casefold() in neural and h.format != STRING]
    if not found:
        wanted = f"stream '{name}'" if name is not None else "sEEG stream"
        raise RecordingError(
            f"{file.path} has no {wanted}; it holds {listed(file.streams)}",
            f"one of type {', '.join(NEURAL_TYPES)}",
            "name the stream that is sEEG with --stream",
        )
    # A stream that was found again during the recording leaves an empty twin.
    found = [header for header in found if file.samples(header.id)] or found
    if len(found) > 1:
        raise RecordingError(
            f"{len(found)} streams of {file.path} could be the sEEG: {listed(tuple(found))}",
            "one",
            "choose it with --stream NAME",
        )
    return found[0]


def _series(
    file: XdfFile,
    header: XdfHeader,
    spec: BundleSpec,
    unit: Unit | None,
    allow_missing: Sequence[str],
) -> Series:
    what, samples = Path(f"{file.path}: stream '{header.name}'"), file.samples(header.id)
    if header.format == STRING:
        raise RecordingError(f"{what} is of strings", "numbers", "choose another with --stream")
    check_rate(what, rate_of(header.rate), spec)
    refuse_short(what, samples, spec)
    if not any(header.labels):
        raise MontageError(
            f"{what} names none of its {header.channels} channels",
            "desc/channels/channel/label for each, matched by name",
            "name the channels at the amplifier",
        )
    match = match_labels(spec.contacts, header.labels, allow_missing)
    scale = factors(what, spec.contacts, match, header.units, unit)
    columns = np.maximum(np.array(match.columns, np.intp), 0)

    def parts() -> Iterator[Part]:
        own = file.pieces(header.id, most=_ROWS, synchronised=False)
        for piece, taken in zip(own, _taken(file, header.id), strict=False):
            _refuse_no_time(what, piece.stamps)
            values = (piece.numbers[:, columns] * scale).astype(np.float32)
            yield Part(values, piece.stamps, piece.stamps if taken is None else taken)

    series = Series(
        path=file.path,
        contacts=spec.contacts,
        fs=spec.fs_hz,
        samples=samples,
        parts=parts,
        missing=match.missing,
        notes=file.notes,
        close=file.close,
    )
    if unit is not None:
        return series
    said = f"{what} in {', '.join(sorted({header.units[c] for c in match.columns if c >= 0}))}"
    return check_plausible(series, said, float(np.nanmedian(scale)))


def _taken(file: XdfFile, stream: int) -> Iterator[np.ndarray | None]:
    """The same pieces' stamps on the recorder's clock; None where the file has no other clock."""
    if file.clock_stretches(stream):
        yield from (piece.stamps for piece in file.pieces(stream, most=_ROWS))
    else:
        yield from repeat(None)


def _refuse_no_time(what: Path, stamps: np.ndarray) -> None:
    if not np.isfinite(stamps).all():
        raise RecordingError(f"{what} has timestamps that are no numbers", "seconds", "repair it")
