"""A session as NWB, in pieces that fit in memory: sEEG, audio, mel frames, events and markers.

Times count from the session's start, on the local LSL clock; the sender's stamps are moved there by
the median of the measured offsets.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError, need
from models.files import new_file
from models.montage import Contact
from realtime.record.reading import json_lines, labels, open_session
from realtime.record.stretches import Stretch, handed_stretches, played_stretches, usual_offset

EXTRA = "formats"
ANY_AGE = "P0D/"
"""Zero days or more: where nobody says."""
_ROWS_BYTES = 1 << 24


def export_nwb(
    folder: Path,
    out: Path,
    overwrite: bool = False,
    subject: str = "unknown",
    age: str = ANY_AGE,
) -> Path:
    """Write one NWB file.

    Parameters
    ----------
    folder : of the session.
    out : the file, new.
    subject, age : pseudonym of the patient, and age as an ISO 8601 duration or range of them.

    Raises
    ------
    RecordingError
        If it is no session, or holds no sEEG.
    BusyOutputError
        If `out` exists and `overwrite` is not set.
    MissingExtraError
        If pynwb (the extra `formats`) is not installed.
    """
    pynwb = need("pynwb", EXTRA)
    about_subject = pynwb.file.Subject(subject_id=subject, age=age, species="Homo sapiens", sex="U")
    with open_session(folder) as file:
        if not len(file["seeg/samples"]):
            raise RecordingError(f"{folder} holds no sEEG", "at least one sample", "choose another")
        with new_file(out, overwrite) as partial:
            nwb = _build(pynwb, folder, file, about_subject)
            with pynwb.NWBHDF5IO(str(partial), "w") as io:
                io.write(nwb)
    return out


def _build(pynwb: Any, folder: Path, file: h5py.File, subject: Any) -> Any:
    about = json.loads(file["about"][()])
    start_s = float(file.attrs["started_lsl_s"])
    nwb = pynwb.NWBFile(
        session_description=f"sEEG decoded live by seegvox, session {folder.name}",
        identifier=str(uuid.uuid4()),
        session_start_time=datetime.fromtimestamp(float(file.attrs["started_utc"]), UTC),
        session_id=folder.name,
        notes=json.dumps(about, default=str),
        subject=subject,
        source_script="seegvox session export --nwb",
        source_script_file_name="realtime/record/nwb.py",
    )
    offset = usual_offset(file["hops/times"].fields("clock_offset")[()])
    electrodes = _electrodes(nwb, labels(file), about)
    nwb.add_acquisition(_seeg(pynwb, file, electrodes, offset - start_s))
    for name, series in (
        ("audio_handed", handed_stretches(file)),
        ("audio_played", played_stretches(file)),
    ):
        for i, stretch in enumerate(series):
            source = file[name.replace("_", "/")]
            unique = f"{name}_{i + 1}" if i else name
            nwb.add_acquisition(_audio(pynwb, unique, source, stretch, start_s))
    _add_mel(pynwb, nwb, file, offset - start_s)
    _add_events(nwb, "events", "Events of the session; annotation is JSON.", _events(file), start_s)
    _add_events(nwb, "markers", "Markers of LSL streams: name: value.", _markers(file), start_s)
    return nwb


# --- sEEG ---------------------------------------------------------------------------------------


def _electrodes(nwb: Any, contacts: Sequence[str], about: dict[str, Any]) -> Any:
    said = about.get("stream") or {}
    maker = f", made by {said['manufacturer']}" if said.get("manufacturer") else ""
    device = nwb.create_device(
        name="amplifier",
        description=f"LSL stream '{said.get('name') or 'of unknown name'}'{maker}",
    )
    nwb.add_electrode_column("label", "label of the contact, as the amplifier names it")
    groups: dict[str, Any] = {}
    for name in contacts:
        shaft = Contact.parse(name).shaft
        if shaft not in groups:
            groups[shaft] = nwb.create_electrode_group(
                f"shaft {shaft}".replace("/", "_"),
                description=f"sEEG electrode {shaft}",
                location="unknown",
                device=device,
            )
        nwb.add_electrode(group=groups[shaft], location="unknown", label=name)
    return nwb.create_electrode_table_region(list(range(len(contacts))), "all contacts")


def _seeg(pynwb: Any, file: h5py.File, electrodes: Any, shift_s: float) -> Any:
    return pynwb.ecephys.ElectricalSeries(
        name="sEEG",
        description="As received, in the order of the bundle's montage; NaN: contact given up.",
        data=_rows(file["seeg/samples"]),
        timestamps=_rows(file["seeg/timestamps"], lambda stamps: stamps + shift_s),
        electrodes=electrodes,
        conversion=1e-6,
        comments="The amplifier's LSL timestamps, as they came; lost samples leave a gap.",
    )


# --- what was made of it ------------------------------------------------------------------------


def _audio(pynwb: Any, name: str, data: h5py.Dataset, stretch: Stretch, start_s: float) -> Any:
    handed = name.startswith("audio_handed")
    return pynwb.TimeSeries(
        name=name,
        description="Synthesised speech as handed to playout, timed by its neural data."
        if handed
        else "Synthesised speech as the sound device took it, timed by when it had taken it.",
        data=_rows(data, first=stretch.first, stop=stretch.stop),
        unit="full scale",
        starting_time=stretch.start_s - start_s,
        rate=stretch.rate_hz,
        comments=f"nominally {stretch.nominal_hz} Hz",
    )


def _add_mel(pynwb: Any, nwb: Any, file: h5py.File, shift_s: float) -> None:
    times = file["hops/times"].fields("lsl_time")[()] + shift_s
    if not len(times):
        return
    decoder = nwb.create_processing_module("decoder", "What was decoded from the sEEG, live")
    decoder.add(
        pynwb.TimeSeries(
            name="mel",
            description="Log-mel frames of 15 ms, timed by the last sample they were made from.",
            data=_rows(file["mel"]),
            unit="ln amplitude",
            timestamps=times,
        )
    )


def _events(file: h5py.File) -> list[tuple[float, str]]:
    return [(event["time"], json.dumps(event)) for event in json_lines(file["events"])]


def _markers(file: h5py.File) -> list[tuple[float, str]]:
    names = {row["stream"]: row["name"] for row in json_lines(file["marker_streams"])}
    found = []
    for marker in json_lines(file["markers"]):
        # Without a measured offset, its own stamp is the best there is.
        when = marker["stamp"] if marker["time"] is None else marker["time"]
        values = " ".join(map(str, marker["values"]))
        found.append((when, f"{names.get(marker['stream'], '?')}: {values}"))
    return found


def _add_events(
    nwb: Any, name: str, what: str, found: list[tuple[float, str]], start_s: float
) -> None:
    if not found:
        return
    table = nwb.create_events_table(name, what)
    table.add_column("annotation", "what happened")
    for when, text in sorted(found):
        table.add_row(timestamp=when - start_s, annotation=text)


def _rows(
    data: h5py.Dataset,
    change: Callable[[NDArray[Any]], NDArray[Any]] = lambda rows: rows,
    first: int = 0,
    stop: int | None = None,
) -> Any:
    """Rows `first` to `stop` of a dataset, handed to HDF5 a few megabytes at a time, compressed."""
    iterators = need("hdmf.data_utils", EXTRA)
    backend = need("hdmf.backends.hdf5", EXTRA)
    end = len(data) if stop is None else stop

    class Rows(iterators.GenericDataChunkIterator):  # type: ignore[misc, name-defined]
        def _get_data(self, selection: tuple[slice, ...]) -> NDArray[Any]:
            rows, *rest = selection
            moved = slice(rows.start + first, rows.stop + first)
            return change(data[(moved, *rest)])

        def _get_maxshape(self) -> tuple[int, ...]:
            return (end - first, *data.shape[1:])

        def _get_dtype(self) -> np.dtype[Any]:
            kind: np.dtype[Any] = data.dtype
            return kind

    row_bytes = data.dtype.itemsize * int(np.prod(data.shape[1:], dtype=np.int64))
    rows = max(1, min(end - first, _ROWS_BYTES // row_bytes))
    chunk = (max(1, min(rows, (1 << 20) // row_bytes)), *data.shape[1:])
    whole = (max(chunk[0], rows // chunk[0] * chunk[0]), *data.shape[1:])
    pieces = Rows(buffer_shape=whole, chunk_shape=chunk)
    return backend.H5DataIO(pieces, compression="gzip", compression_opts=1, shuffle=True)
