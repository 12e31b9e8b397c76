"""A series of an NWB file as it was recorded, in pieces: its own timestamps where it has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import RecordingError
from models.montage import match_labels
from models.spec import BundleSpec
from realtime.recordings.amplitude import Unit
from realtime.recordings.clocks import snapped
from realtime.recordings.nwb_seeg import labels_of, microvolts
from realtime.recordings.nwb_series import clock_of, data_of, opened, series_of, text_of
from realtime.recordings.scratch import pieces
from realtime.redecode.series import Part, Series, check_plausible, check_rate, refuse_short

_USUAL = "iEEG"


def nwb_series(
    path: Path,
    spec: BundleSpec,
    unit: Unit | None,
    stream: str | None,
    allow_missing: Sequence[str],
) -> Series:
    """The sEEG of an NWB file: the series iEEG, or the only ElectricalSeries; see `open_series`."""
    with ExitStack() as stack:
        nwb = stack.enter_context(opened(path))
        series = _series(nwb, path, stream, spec, unit, allow_missing)
        return replace(series, close=stack.pop_all().close)


def seeg_name(nwb: Any, path: Path, name: str | None = None) -> str:
    """Name of the series to take.

    Raises
    ------
    RecordingError
        If none or several could be meant.
    """
    acquisition = nwb.get("acquisition", {})
    if name is not None or _USUAL in acquisition:
        return name or _USUAL
    electrical = [
        str(key)
        for key, series in acquisition.items()
        if text_of(series.attrs.get("neurodata_type", "")) == "ElectricalSeries"
    ]
    if len(electrical) == 1:
        return electrical[0]
    held = ", ".join(sorted(electrical or acquisition)) or "nothing"
    raise RecordingError(
        f"{path} has {len(electrical) or 'no'} electrical series; its acquisition holds {held}",
        f"one, or one that is called {_USUAL}",
        "choose it with --stream NAME",
    )


def _series(
    nwb: Any,
    path: Path,
    stream: str | None,
    spec: BundleSpec,
    unit: Unit | None,
    allow_missing: Sequence[str],
) -> Series:
    name = seeg_name(nwb, path, stream)
    found = series_of(nwb, name, path)
    data = data_of(found, name, (2,))
    factor, offset, notes = microvolts(found, data, path, unit)
    clock, count = clock_of(found, len(data), name)
    if count < len(data):
        notes.append(f"{name} has {len(data)} samples but {count} timestamps; cropped")
    check_rate(path, snapped(clock.typical_hz), spec)
    refuse_short(path, count, spec)
    match = match_labels(spec.contacts, labels_of(nwb, found, path, data.shape[1]), allow_missing)
    columns = np.maximum(np.array(match.columns, np.intp), 0)
    missing = np.array(match.columns) < 0
    factor = factor if len(factor) == 1 else factor[columns]
    stamps, fs = found.get("timestamps"), float(spec.fs_hz)

    def parts() -> Iterator[Part]:
        for start, stop in pieces(count, data.shape[1]):
            rows = data[start:stop][:, columns] * factor + offset
            values = np.where(missing, np.nan, rows).astype(np.float32)
            taken = np.arange(start, stop) / fs if stamps is None else stamps[start:stop]
            yield Part(values, taken, taken)

    series = Series(
        path=path,
        contacts=spec.contacts,
        fs=spec.fs_hz,
        samples=count,
        parts=parts,
        missing=match.missing,
        notes=tuple(notes),
    )
    if unit is not None:
        return series
    per_unit = float(np.median(factor)) / float(data.attrs.get("conversion", 1.0))
    return check_plausible(series, path.name, per_unit)
