"""Write a recording in the layout of SingleWordProductionDutch-iBIDS (Verwoert et al. 2022)."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BusyOutputError, need
from models.montage import Contact
from realtime.recordings import Recording, Trial

TASK = "wordProduction"


@dataclass(frozen=True)
class Quirks:
    """What real files do and readers must survive."""

    clock_start_s: float = 9_062_565.622919232
    """First sEEG timestamp: the session clock of the public sub-01."""
    audio_lag_s: float = 3.45e-6
    glitch: bool = False
    """The first sEEG interval spans five samples (sub-07)."""
    extra_stimulus: int = 0
    """Stimulus samples beyond the sEEG (about a dozen in sub-01)."""
    cut_trials: int = 0
    """Trailing trials of duration 0 at the last sample (five in sub-10)."""
    extra_electrodes: int = 4
    """Electrodes with a position but no channel."""
    byte_order_mark: bool = False
    """A UTF-8 byte-order mark before channels.tsv."""


def write_recording(
    recording: Recording,
    root: Path | str,
    subject: str = "sub-01",
    *,
    overwrite: bool = False,
    quirks: Quirks | None = None,
) -> Path:
    """Write `root/sub-XX/ieeg/sub-XX_task-wordProduction_*` and list the subject.

    Parameters
    ----------
    recording : what to write; sEEG in microvolts.
    root : BIDS folder, made if absent; other subjects in it are kept.
    subject : `sub-` and a label of letters and digits.
    quirks : traps to build in; the defaults are those every public file has.

    Returns
    -------
    Path of the NWB file. The subject appears complete or not at all.

    Raises
    ------
    BusyOutputError
        If the subject exists and `overwrite` is false.
    MissingExtraError
        Without the extra `formats`.
    """
    need("pynwb", "formats")
    root = Path(root)
    final = root / subject
    if final.exists() and not overwrite:
        raise BusyOutputError(f"{final} exists", "a new subject", "choose another or overwrite")
    root.mkdir(parents=True, exist_ok=True)
    partial = root / f".{subject}.partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        folder = partial / "ieeg"
        folder.mkdir(parents=True)
        _write_files(recording, folder, subject, quirks or Quirks())
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _list_participant(root, subject)
    return final / "ieeg" / f"{subject}_task-{TASK}_ieeg.nwb"


def _write_files(recording: Recording, folder: Path, subject: str, quirks: Quirks) -> None:
    stem = f"{subject}_task-{TASK}"
    _write_nwb(recording, folder / f"{stem}_ieeg.nwb", subject, quirks)
    _write_channels(recording, folder / f"{stem}_channels.tsv", quirks)
    _write_events(recording, folder / f"{stem}_events.tsv", quirks)
    _write_electrodes(recording, folder / f"{stem}_space-ACPC_electrodes.tsv", quirks)
    _write_json(
        folder / f"{stem}_space-ACPC_coordsystem.json",
        {
            "iEEGCoordinateSystem": "Other",
            "iEEGCoordinateUnits": "mm",
            "iEEGCoordinateSystemDescription": "invented positions of a simulated patient",
        },
    )
    _write_json(
        folder / f"{stem}_ieeg.json",
        {
            "TaskName": TASK,
            "SamplingFrequency": float(recording.fs),
            "PowerLineFrequency": 50,
            "SoftwareFilters": "n/a",
            "SEEGChannelCount": len(recording.labels),
            "RecordingDuration": recording.seconds,
            "iEEGReference": "common (simulated)",
            "Manufacturer": "seegvox simulated patient",
        },
    )


def _write_nwb(recording: Recording, file: Path, subject: str, quirks: Quirks) -> None:
    pynwb = need("pynwb", "formats")
    nwb = pynwb.NWBFile(
        session_description="speech with sEEG, simulated or converted by seegvox",
        identifier=f"{subject}-{TASK}",
        # Fixed, so that the same recording gives the same file content.
        session_start_time=datetime(2020, 1, 1, tzinfo=UTC),
    )
    series = pynwb.TimeSeries
    nwb.add_acquisition(
        series(
            name="iEEG",
            data=_blocks(_doubles(recording.seeg), recording.seeg.shape),
            unit="microvolts",
            conversion=1.0,
            timestamps=_packed(_seeg_stamps(recording, quirks)),
        )
    )
    sound = np.clip(np.round(recording.audio * 32768.0), -32768, 32767).astype(np.int16)
    start = quirks.clock_start_s + quirks.audio_lag_s + recording.audio_start_s
    nwb.add_acquisition(
        series(
            name="Audio",
            data=_packed(sound),
            unit="full scale",
            conversion=1 / 32768,
            timestamps=_packed(start + np.arange(len(sound)) / recording.audio_rate),
        )
    )
    stamps = quirks.clock_start_s + _grid(recording, len(recording.seeg) + quirks.extra_stimulus)
    words = _shown(recording, len(stamps))
    nwb.add_acquisition(
        series(name="Stimulus", data=words, unit="word", timestamps=_packed(stamps))
    )
    with pynwb.NWBHDF5IO(str(file), "w") as io:
        io.write(nwb)


def _packed(values: NDArray[Any]) -> Any:
    """Lightly compressed: clocks and integers shrink to a fraction in little time."""
    hdmf = need("hdmf.backends.hdf5", "formats")
    return hdmf.H5DataIO(values, compression="gzip", compression_opts=1, shuffle=True)


def _doubles(seeg: NDArray[np.float32], rows: int = 1 << 14) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(seeg), rows):
        yield from seeg[start : start + rows].astype(np.float64)


def _blocks(rows: Iterator[NDArray[np.float64]], shape: tuple[int, ...]) -> Any:
    """Written block by block: float64 of the whole recording never stands in memory."""
    hdmf = need("hdmf.data_utils", "formats")
    backend = need("hdmf.backends.hdf5", "formats")
    chunks = hdmf.DataChunkIterator(
        data=rows, maxshape=shape, dtype=np.dtype(np.float64), buffer_size=1 << 14
    )
    return backend.H5DataIO(
        chunks, compression="gzip", compression_opts=1, shuffle=True, chunks=(4096, shape[1])
    )


def _grid(recording: Recording, samples: int) -> NDArray[np.float64]:
    return np.arange(samples) / float(recording.fs)


def _seeg_stamps(recording: Recording, quirks: Quirks) -> NDArray[np.float64]:
    stamps = quirks.clock_start_s + _grid(recording, len(recording.seeg))
    if quirks.glitch:
        stamps[0] -= 4 / float(recording.fs)
    return stamps


def _shown(recording: Recording, samples: int) -> list[str]:
    words = [""] * samples
    for trial in recording.trials:
        start = round(trial.onset_s * recording.fs)
        stop = min(samples, round((trial.onset_s + trial.duration_s) * recording.fs))
        words[start:stop] = [trial.text] * max(0, stop - start)
    return words


def _write_channels(recording: Recording, file: Path, quirks: Quirks) -> None:
    high = float(recording.fs) / 2
    rows = [
        [name, "SEEG", "microvolts", "0", f"{high:g}", "simulated"] for name in recording.labels
    ]
    header = ["name", "type", "units", "low_cutoff", "high_cutoff", "description"]
    _write_table(file, header, rows, "utf-8-sig" if quirks.byte_order_mark else "utf-8")


def _write_events(recording: Recording, file: Path, quirks: Quirks) -> None:
    rows: list[list[str]] = []
    last = len(recording.seeg) - 1
    whole = len(recording.trials) - quirks.cut_trials
    for i, trial in enumerate(recording.trials):
        if i < whole:
            rows += _event_rows(trial, _next_onset(recording, i), recording)
        else:
            rows.append([f"{last / float(recording.fs):.6f}", "0", "word", trial.text, str(last)])
    _write_table(file, ["onset", "duration", "trial_type", "value", "sample"], rows)


def _event_rows(trial: Trial, following: float, recording: Recording) -> list[list[str]]:
    def row(onset: float, duration: float, kind: str, value: str) -> list[str]:
        sample = round(onset * recording.fs)
        return [f"{onset:.6f}", f"{duration:.6f}", kind, value, str(sample)]

    end = trial.onset_s + trial.duration_s
    rows = [row(trial.onset_s, trial.duration_s, "word", trial.text)]
    if following > end:
        rows.append(row(end, following - end, "fixation", "+"))
    return rows


def _next_onset(recording: Recording, i: int) -> float:
    if i + 1 < len(recording.trials):
        return recording.trials[i + 1].onset_s
    return recording.seconds


def _write_electrodes(recording: Recording, file: Path, quirks: Quirks) -> None:
    names = list(recording.labels) + [f"XX{i + 1}" for i in range(quirks.extra_electrodes)]
    shafts = list(dict.fromkeys(Contact.parse(name).shaft for name in names))
    rows = []
    for name in reversed(names):  # not the order of the channels: join on the name
        contact = Contact.parse(name)
        place = [10.0 + 3.5 * contact.number, 8.0 * shafts.index(contact.shaft) - 30, 5.0]
        rows.append([name, *(f"{value:.2f}" for value in place), "n/a"])
    _write_table(file, ["name", "x", "y", "z", "size"], rows)


def _list_participant(root: Path, subject: str) -> None:
    file = root / "participants.tsv"
    known = file.read_text(encoding="utf-8").splitlines()[1:] if file.exists() else []
    names = sorted({line.split("\t")[0] for line in known if line} | {subject})
    partial = file.with_name(f".participants.partial-{os.getpid()}")
    _write_table(partial, ["participant_id"], [[name] for name in names])
    partial.replace(file)


def _write_table(
    file: Path, header: Sequence[str], rows: Sequence[Sequence[str]], encoding: str = "utf-8"
) -> None:
    with file.open("w", encoding=encoding, newline="") as lines:
        writer = csv.writer(lines, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
