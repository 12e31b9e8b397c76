"""The sEEG of an NWB file: samples in microvolts, and the names of its contacts."""

from __future__ import annotations

from fractions import Fraction
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from realtime.recordings.amplitude import Unit, check_amplitude, known_unit, microvolts_in
from realtime.recordings.clocks import SeriesClock
from realtime.recordings.contacts import Channel, chosen
from realtime.recordings.nwb_series import clock_of, data_of, series_of, text_of
from realtime.recordings.options import Options
from realtime.recordings.scratch import Floats, gathered
from realtime.recordings.sidecars import cell, channels_of, name_of, sidecar, table

Doubles = NDArray[np.float64]


def read_seeg(
    nwb: Any, file: Path, options: Options
) -> tuple[Floats, SeriesClock, tuple[str, ...], list[str]]:
    """The series iEEG: `(samples, contacts)` microvolts, its clock, its labels, and notes.

    Raises
    ------
    RecordingError
        If it is missing, has no clock, no unit or an implausible one, or no names.
    """
    series = series_of(nwb, "iEEG", file)
    data = data_of(series, "iEEG", (2,))
    factor, offset, notes = microvolts(series, data, file, options.unit)
    clock, count = clock_of(series, len(data), "iEEG")
    if count < len(data):
        notes.append(f"iEEG has {len(data)} samples but {count} timestamps; cropped")
    places, labels, more = _contacts(nwb, series, file, data.shape[1], options)
    factor = factor if len(factor) == 1 else factor[places]

    def read(start: int, stop: int) -> NDArray[np.generic]:
        block: NDArray[np.generic] = data[start:stop][:, places] * factor + offset
        return block

    seeg = gathered((count, len(places)), read)
    if options.unit is None:
        # Of several conversions the middle one stands for the unit.
        per_unit = float(np.median(factor)) / float(data.attrs.get("conversion", 1.0))
        check_amplitude(seeg, Fraction(clock.typical_hz), file.name, per_unit)
    return seeg, clock, labels, [*notes, *more]


def _contacts(
    nwb: Any, series: Any, file: Path, columns: int, options: Options
) -> tuple[list[int], tuple[str, ...], list[str]]:
    names = labels_of(nwb, series, file, columns)
    types = {name: cell(row, "type") for name, row in channels_of(file).items()}
    # The series is called iEEG: what nothing else is said of is a contact.
    channels = [Channel(name, "SEEG", types.get(name, "")) for name in names]
    places, notes = chosen(channels, options.contacts)
    return places, tuple(names[i] for i in places), notes


def microvolts(
    series: Any, data: Any, file: Path, unit: Unit | None
) -> tuple[Doubles, float, list[str]]:
    """Factor (one, or one per contact) and offset that make microvolts of stored numbers.

    NWB: value = stored * conversion * channel_conversion + offset, in `unit`. A unit that was
    asked for is that of the value.

    Raises
    ------
    RecordingError
        If the unit is not known.
    """
    conversion = float(data.attrs.get("conversion", 1.0))
    per_unit, notes = (
        _per_unit(data, conversion, file) if unit is None else (microvolts_in(unit), [])
    )
    each = series.get("channel_conversion")
    per_contact = np.ones(1) if each is None else np.asarray(each[:], np.float64)
    if len(per_contact) not in (1, data.shape[1]):
        raise RecordingError(
            f"iEEG has {len(per_contact)} channel conversions", f"{data.shape[1]}, one per contact"
        )
    offset = float(data.attrs.get("offset", 0.0)) * per_unit
    return per_contact * (conversion * per_unit), offset, notes


def _per_unit(data: Any, conversion: float, file: Path) -> tuple[float, list[str]]:
    """Microvolts in the unit of the series, and a note where two sources contradict each other.

    channels.tsv wins over a `unit` that comes without a conversion, since writers leave NWB's
    default of volts there; a conversion belongs to its own unit.
    """
    own, listed = text_of(data.attrs.get("unit", "")), _listed_unit(file)
    sources = [listed, own] if conversion == 1.0 else [own, listed]
    taken = next((text for text in sources if known_unit(text) is not None), None)
    if taken is None:
        listing = sidecar(file, "channels").name
        raise RecordingError(
            f"{file}: iEEG has the unit {own!r}, {listing} says {listed!r}",
            "a unit such as microvolts, uV, mV or V",
            f"write the true unit into the column 'units' of {listing}",
        )
    notes = []
    if listed and not isclose((known_unit(own) or 0.0) * conversion, known_unit(listed) or 0.0):
        notes.append(
            f"iEEG has the unit {own!r} (conversion {conversion:g}), channels.tsv says "
            f"{listed!r}; {taken!r} was taken"
        )
    return known_unit(taken) or 0.0, notes


def _listed_unit(file: Path) -> str:
    """The unit that channels.tsv states for the contacts; empty where it states none."""
    rows = table(sidecar(file, "channels"))
    units = sorted({(row.get("units") or "").strip() for row in rows} - {"", "n/a"})
    if len({known_unit(unit) for unit in units}) > 1:
        raise RecordingError(
            f"{sidecar(file, 'channels')} states the units {', '.join(units)}",
            "one unit for all contacts",
            "correct the column 'units'",
        )
    return units[0] if units else ""


def labels_of(nwb: Any, series: Any, file: Path, contacts: int) -> tuple[str, ...]:
    """Names of the contacts of a series, by channels.tsv or by the file's table of electrodes.

    Raises
    ------
    RecordingError
        If nobody names them, or not each of them by another name.
    """
    listing = sidecar(file, "channels")
    if listing.exists():
        source, labels = listing.name, tuple(name_of(row) for row in table(listing))
    else:
        source, labels = "the table of electrodes", _electrode_names(nwb, series)
    if not labels:
        raise RecordingError(
            f"{listing} does not exist, and {file.name} names no electrodes of iEEG"
            if not listing.exists()
            else f"{listing} is empty",
            "the names of the contacts in one of them",
            f"write {listing.name} with a column 'name', one row per column of iEEG",
        )
    if len(labels) != contacts or len(set(labels)) != contacts:
        raise RecordingError(
            f"{source} names {len(labels)} contacts ({len(set(labels))} different)",
            f"{contacts} different names, one per column of iEEG",
        )
    return labels


def _electrode_names(nwb: Any, series: Any) -> tuple[str, ...]:
    """Names that an ElectricalSeries refers to, from NWB's own table; empty where it has none."""
    rows = series.get("electrodes")
    table = nwb.get("general/extracellular_ephys/electrodes")
    if rows is None or table is None:
        return ()
    column = next((c for c in ("label", "channel_name", "electrode_name") if c in table), None)
    if column is None:
        return ()
    names = table[column][:]
    return tuple(text_of(names[int(row)]).strip() for row in rows[:] if 0 <= row < len(names))
