"""Read recordings of sEEG with speech: NWB in the layout of SingleWordProductionDutch-iBIDS.

Verwoert et al. 2022, Sci Data 9:434. All times a reader hands out are seconds from the first sEEG
sample, on the sEEG clock; the session clock of the file (millions of seconds) stays inside.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import MontageError, RecordingError, need
from realtime.units import microvolts_per_unit

Doubles = NDArray[np.float64]

STANDARD_RATES_HZ = (128, 200, 250, 256, 400, 500, 512, 1000, 1024, 2000, 2048, 4096, 5000, 8192)
_SNAP = 1e-3
_REST = "fixation"


@dataclass(frozen=True)
class Trial:
    """One trial as the protocol knows it (a cue, not the sound).

    `onset_s` counts from the recording's first sEEG sample.
    """

    onset_s: float
    duration_s: float
    text: str


@dataclass(frozen=True)
class Recording:
    """sEEG and speech recorded together.

    Parameters
    ----------
    path : file it came from.
    seeg : `(samples, contacts)` float32, microvolts.
    fs : nominal sampling rate, Hz.
    labels : name of each contact.
    audio : `(n,)` float32, full scale 1.0.
    audio_rate : effective rate of the audio on the sEEG clock, Hz.
    audio_start_s : time of the first audio sample.
    trials : in order of onset; trials without duration are left out.
    notes : what was unusual about the file, a sentence each.
    """

    path: Path
    seeg: NDArray[np.float32]
    fs: Fraction
    labels: tuple[str, ...]
    audio: NDArray[np.float32]
    audio_rate: float
    audio_start_s: float
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the sEEG."""
        return float(len(self.seeg) / self.fs)


def read_recording(path: Path | str) -> Recording:
    """Read a recording.

    Parameters
    ----------
    path : an `.nwb` file with its BIDS sidecars beside it (`X_ieeg.nwb` or `X.nwb` with
        `X_channels.tsv` and `X_events.tsv`), or a folder that holds exactly one `*_ieeg.nwb`.
        Without sidecars the names come from the NWB electrodes and the trials from `Stimulus`.

    Raises
    ------
    RecordingError
        If the file is missing, damaged, lacks a series, names no unit of the sEEG, or contradicts
        its sidecars.
    MissingExtraError
        Without the extra `formats`.
    """
    file = _find(Path(path))
    with _opened(file) as nwb:
        seeg, clock, notes = _read_seeg(nwb, file)
        audio, audio_clock = _read_audio(nwb, file)
        shown = _read_stimulus(nwb)
        labels = _read_labels(nwb, file, seeg.shape[1])
    fs = snapped(clock.typical_hz)
    # On the sEEG clock one second is `fs` samples, whatever the wall clock says.
    stretch = clock.effective_hz / float(fs)
    trials, more = _read_trials(file, shown, fs, len(seeg))
    return Recording(
        path=file,
        seeg=seeg,
        fs=fs,
        labels=labels,
        audio=audio,
        audio_rate=audio_clock.effective_hz / stretch,
        audio_start_s=(audio_clock.start_s - clock.start_s) * stretch,
        trials=trials,
        notes=(*notes, *more),
    )


def audio_at(recording: Recording, rate: int) -> NDArray[np.float32]:
    """The audio on the sEEG clock: `(n,)` at `rate`, sample 0 at the first sEEG sample.

    Resampled from its effective rate and cut or padded with silence to the length of the sEEG;
    the start is right to half a sample of `rate`.

    Raises
    ------
    MissingExtraError
        Without the extra `formats` (soxr).
    """
    soxr = need("soxr", "formats")
    sound = soxr.resample(recording.audio, recording.audio_rate, float(rate))
    samples = int(len(recording.seeg) * rate / recording.fs)
    offset = round(recording.audio_start_s * rate)
    out = np.zeros(samples, np.float32)
    start, skip = max(0, offset), max(0, -offset)
    part = sound[skip : skip + max(0, samples - start)]
    out[start : start + len(part)] = part
    return out


@dataclass(frozen=True)
class SeriesClock:
    """When the samples of a series were taken, by its timestamps."""

    start_s: float
    effective_hz: float
    typical_hz: float


def measured_clock(stamps: Doubles) -> SeriesClock:
    """Clock of timestamps that may hold glitches.

    The nominal rate comes from the median positive difference. The effective rate is the median
    slope over about one second: at 9e6 s a single difference is only good to 4 Hz in 48 kHz. The
    start is the median over the recording too, so one glitch moves none of the three.

    Raises
    ------
    RecordingError
        If there are fewer than two timestamps, or they never advance.
    """
    if len(stamps) < 2:
        raise RecordingError(f"a series has {len(stamps)} timestamps", "at least two")
    # 200 000 places are plenty for a median, and temporaries of hours of audio would not be.
    at = np.arange(0, len(stamps) - 1, max(1, len(stamps) // 200_000))
    steps = stamps[at + 1] - stamps[at]
    if not np.any(steps > 0):
        raise RecordingError("the timestamps never advance", "rising timestamps in seconds")
    typical = float(np.median(steps[steps > 0]))
    lag = max(1, min(len(stamps) // 2, round(1 / typical)))
    at = at[at + lag < len(stamps)]
    rate = lag / float(np.median(stamps[at + lag] - stamps[at]))
    start = float(stamps[0]) + float(np.median(stamps[at] - stamps[0] - at / rate))
    return SeriesClock(start, rate, 1 / typical)


def snapped(rate: float) -> Fraction:
    """The standard rate within 0.1 % of a measured one.

    Raises
    ------
    RecordingError
        If there is none.
    """
    nearest = min(STANDARD_RATES_HZ, key=lambda standard: abs(standard - rate))
    if abs(nearest - rate) > _SNAP * nearest:
        raise RecordingError(
            f"the sEEG timestamps say {rate:.3f} Hz",
            f"a standard rate within 0.1 % (nearest: {nearest} Hz)",
            "correct the timestamps or resample the recording",
        )
    return Fraction(nearest)


def _find(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise RecordingError(f"{path} does not exist", "an .nwb file or a BIDS folder")
    files = sorted(path.rglob("*_ieeg.nwb"))
    if len(files) == 1:
        return files[0]
    if not files:
        raise RecordingError(f"no *_ieeg.nwb below {path}", "a BIDS-iEEG folder with NWB")
    shown = ", ".join(str(f.relative_to(path)) for f in files[:12])
    raise RecordingError(
        f"{len(files)} recordings below {path}: {shown}", "one", "name one of them"
    )


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    h5py = need("h5py", "formats")
    try:
        with h5py.File(file, "r") as nwb:
            yield nwb
    except (OSError, RuntimeError) as err:
        reason = " ".join(str(err).split())
        raise RecordingError(
            f"{file} cannot be read ({reason})", "a complete NWB file", "copy or download it again"
        ) from err


def _series(nwb: Any, name: str, file: Path) -> Any:
    acquisition = nwb.get("acquisition", {})
    if name not in acquisition:
        found = ", ".join(sorted(acquisition)) or "nothing"
        raise RecordingError(
            f"{file} has no series '{name}'; its acquisition holds {found}",
            "the series iEEG, Audio and Stimulus",
        )
    return acquisition[name]


def _data(series: Any, name: str, dimensions: tuple[int, ...], kinds: str = "iuf") -> Any:
    """The dataset `data` of a series."""
    data = series.get("data") if hasattr(series, "get") else None
    if data is None or not hasattr(data, "shape"):
        raise RecordingError(
            f"series '{name}' holds no data", "a dataset 'data' in it", "export the file again"
        )
    if len(data.shape) not in dimensions:
        wanted = " or ".join("(samples, channels)" if n == 2 else "(samples,)" for n in dimensions)
        raise RecordingError(f"{name} has shape {data.shape}", wanted)
    if data.dtype.kind not in kinds:
        raise RecordingError(f"{name} holds values of type {data.dtype}", "numbers")
    return data


def _timestamps(series: Any, count: int, name: str) -> Doubles:
    """Timestamps of a series, from `timestamps` or from start and rate, never fewer than asked."""
    if "timestamps" in series:
        return np.asarray(series["timestamps"][:count], np.float64)
    if "starting_time" in series and series["starting_time"].attrs.get("rate", 0) > 0:
        start = series["starting_time"]
        stamps: Doubles = float(start[()]) + np.arange(count) / float(start.attrs["rate"])
        return stamps
    raise RecordingError(f"series '{name}' has neither timestamps nor a rate", "one of them")


def _read_seeg(nwb: Any, file: Path) -> tuple[NDArray[np.float32], SeriesClock, list[str]]:
    series = _series(nwb, "iEEG", file)
    data = _data(series, "iEEG", (2,))
    factor, offset, notes = _microvolts(series, data, file)
    stamps = _timestamps(series, len(data), "iEEG")
    count = min(len(data), len(stamps))
    if count < len(data):
        notes.append(f"iEEG has {len(data)} samples but {count} timestamps; cropped")
    seeg = np.empty((count, data.shape[1]), np.float32)
    for start in range(0, count, 1 << 16):
        stop = min(count, start + (1 << 16))
        seeg[start:stop] = data[start:stop] * factor + offset
    return seeg, measured_clock(stamps), notes


def _microvolts(series: Any, data: Any, file: Path) -> tuple[Doubles, float, list[str]]:
    """Factor (one, or one per contact) and offset that make microvolts of stored numbers.

    NWB: value = stored * conversion * channel_conversion + offset, in `unit`. channels.tsv wins
    over a `unit` that comes without a conversion, since writers leave NWB's default of volts
    there; a conversion belongs to its own unit.
    """
    conversion = float(data.attrs.get("conversion", 1.0))
    own, listed = _text(data.attrs.get("unit", "")), _listed_unit(file)
    sources = [listed, own] if conversion == 1.0 else [own, listed]
    taken = next((text for text in sources if _per_unit(text) is not None), None)
    if taken is None:
        sidecar = _sidecar(file, "channels").name
        raise RecordingError(
            f"{file}: iEEG has the unit {own!r}, {sidecar} says {listed!r}",
            "a unit such as microvolts, uV, mV or V",
            f"write the true unit into the column 'units' of {sidecar}",
        )
    per_unit, notes = microvolts_per_unit(taken), []
    if listed and not isclose((_per_unit(own) or 0.0) * conversion, _per_unit(listed) or 0.0):
        notes.append(
            f"iEEG has the unit {own!r} (conversion {conversion:g}), channels.tsv says "
            f"{listed!r}; {taken!r} was taken"
        )
    each = series.get("channel_conversion")
    per_contact = np.ones(1) if each is None else np.asarray(each[:], np.float64)
    if len(per_contact) not in (1, data.shape[1]):
        raise RecordingError(
            f"iEEG has {len(per_contact)} channel conversions", f"{data.shape[1]}, one per contact"
        )
    offset = float(data.attrs.get("offset", 0.0)) * per_unit
    return per_contact * (conversion * per_unit), offset, notes


def _per_unit(text: str) -> float | None:
    try:
        return microvolts_per_unit(text)
    except MontageError:
        return None


def _listed_unit(file: Path) -> str:
    """The unit that channels.tsv states for the contacts; empty where it states none."""
    rows = _table(_sidecar(file, "channels"))
    units = sorted({(row.get("units") or "").strip() for row in rows} - {"", "n/a"})
    if len({_per_unit(unit) for unit in units}) > 1:
        raise RecordingError(
            f"{_sidecar(file, 'channels')} states the units {', '.join(units)}",
            "one unit for all contacts",
            "correct the column 'units'",
        )
    return units[0] if units else ""


def _read_audio(nwb: Any, file: Path) -> tuple[NDArray[np.float32], SeriesClock]:
    series = _series(nwb, "Audio", file)
    data = _data(series, "Audio", (1, 2))
    stamps = _timestamps(series, len(data), "Audio")
    clock, count = measured_clock(stamps), min(len(data), len(stamps))
    del stamps
    raw = data[:count] if data.ndim == 1 else data[:count].mean(axis=1)
    return _full_scale(np.asarray(raw), data.dtype), clock


def _full_scale(raw: NDArray[Any], stored: np.dtype[Any]) -> NDArray[np.float32]:
    """Samples with full scale 1.0; floats beyond 1.5 are integers in disguise."""
    if stored.kind == "i":
        return raw.astype(np.float32) / np.float32(2.0 ** (8 * stored.itemsize - 1))
    sound = raw.astype(np.float32)
    peak = float(np.abs(sound).max(initial=0))
    if peak > 1.5:
        sound /= np.float32(32768 if peak <= 32768 else 2.0**31)
    return sound


def _read_stimulus(nwb: Any) -> list[str]:
    """Shown word per sEEG sample; empty where the file has none (events.tsv may serve)."""
    series = nwb.get("acquisition", {}).get("Stimulus")
    if series is None:
        return []
    return [_text(word) for word in _data(series, "Stimulus", (1,), "OSU")[:]]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _sidecar(file: Path, kind: str) -> Path:
    return file.with_name(f"{file.stem.removesuffix('_ieeg')}_{kind}.tsv")


def _table(file: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table; a byte-order mark is skipped; no file gives no rows."""
    if not file.exists():
        return []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return list(csv.DictReader(lines, delimiter="\t"))
    except UnicodeDecodeError as err:
        raise RecordingError(f"{file} is not UTF-8 ({err.reason})", "a UTF-8 table") from err


def _read_labels(nwb: Any, file: Path, contacts: int) -> tuple[str, ...]:
    sidecar = _sidecar(file, "channels")
    if sidecar.exists():
        source, labels = sidecar.name, tuple(_first(row) for row in _table(sidecar))
    else:
        source, labels = "the table of electrodes", _electrode_names(nwb)
    if not labels:
        raise RecordingError(
            f"{sidecar} does not exist, and {file.name} names no electrodes of iEEG"
            if not sidecar.exists()
            else f"{sidecar} is empty",
            "the names of the contacts in one of them",
            f"write {sidecar.name} with a column 'name', one row per column of iEEG",
        )
    if len(labels) != contacts or len(set(labels)) != contacts:
        raise RecordingError(
            f"{source} names {len(labels)} contacts ({len(set(labels))} different)",
            f"{contacts} different names, one per column of iEEG",
        )
    return labels


def _first(row: dict[str, str]) -> str:
    return (next(iter(row.values())) or "").strip()


def _electrode_names(nwb: Any) -> tuple[str, ...]:
    """Names that an ElectricalSeries refers to, from NWB's own table; empty where it has none."""
    rows = nwb["acquisition/iEEG"].get("electrodes")
    table = nwb.get("general/extracellular_ephys/electrodes")
    if rows is None or table is None:
        return ()
    column = next((c for c in ("label", "channel_name", "electrode_name") if c in table), None)
    if column is None:
        return ()
    names = table[column][:]
    return tuple(_text(names[int(row)]).strip() for row in rows[:] if 0 <= row < len(names))


def _read_trials(
    file: Path, shown: list[str], fs: Fraction, samples: int
) -> tuple[tuple[Trial, ...], list[str]]:
    rows = _table(_sidecar(file, "events"))
    trials = [_trial(row) for row in rows if row.get("trial_type") != _REST]
    if not rows:
        trials = _trials_from_stimulus(shown, fs)
    if not trials:
        raise RecordingError(
            f"{file} has no trials",
            f"{_sidecar(file, 'events').name} beside it, or a Stimulus series with words",
        )
    end = float(samples / fs)
    kept = [t for t in trials if t.duration_s > 0 and t.onset_s + t.duration_s <= end + 0.05]
    lost = len(trials) - len(kept)
    notes = [f"{lost} trials without duration or beyond the end were left out"] if lost else []
    return tuple(sorted(kept, key=lambda t: t.onset_s)), notes


def _trial(row: dict[str, str]) -> Trial:
    try:
        text = row.get("value") or row.get("trial_type") or ""
        return Trial(float(row["onset"]), float(row["duration"]), text)
    except (KeyError, ValueError, TypeError) as err:
        raise RecordingError(
            f"an events.tsv row cannot be read: {row}", "numbers in onset and duration"
        ) from err


def _trials_from_stimulus(shown: list[str], fs: Fraction) -> list[Trial]:
    trials, start = [], 0
    for i in range(1, len(shown) + 1):
        if i == len(shown) or shown[i] != shown[start]:
            if shown[start]:
                trials.append(Trial(float(start / fs), float((i - start) / fs), shown[start]))
            start = i
    return trials
