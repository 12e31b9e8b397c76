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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError, need

Doubles = NDArray[np.float64]

STANDARD_RATES_HZ = (128, 200, 250, 256, 400, 500, 512, 1000, 1024, 2000, 2048, 4096, 5000, 8192)
_SNAP = 1e-3
_MICROVOLTS_PER = {
    "volts": 1e6,
    "volt": 1e6,
    "v": 1e6,
    "millivolts": 1e3,
    "mv": 1e3,
    "microvolts": 1.0,
    "microvolt": 1.0,
    "uv": 1.0,
    "µv": 1.0,
    "μv": 1.0,
}
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
    path : an `.nwb` file with its BIDS sidecars beside it, or a folder that holds exactly one.

    Raises
    ------
    RecordingError
        If the file is missing, damaged, lacks a series, or contradicts its sidecars.
    MissingExtraError
        Without the extra `formats`.
    """
    file = _find(Path(path))
    with _opened(file) as nwb:
        seeg, clock, notes = _read_seeg(nwb, file)
        audio, audio_clock = _read_audio(nwb, file)
        shown = _read_stimulus(nwb)
    fs = snapped(clock.typical_hz)
    # On the sEEG clock one second is `fs` samples, whatever the wall clock says.
    stretch = clock.effective_hz / float(fs)
    labels = _read_labels(file, seeg.shape[1])
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


def _timestamps(series: Any, count: int, name: str) -> Doubles:
    """Timestamps of a series, from `timestamps` or from start and rate, never fewer than asked."""
    if "timestamps" in series:
        return np.asarray(series["timestamps"][:count], np.float64)
    if "starting_time" in series:
        start = series["starting_time"]
        stamps: Doubles = float(start[()]) + np.arange(count) / float(start.attrs["rate"])
        return stamps
    raise RecordingError(f"series '{name}' has neither timestamps nor a rate", "one of them")


def _read_seeg(nwb: Any, file: Path) -> tuple[NDArray[np.float32], SeriesClock, list[str]]:
    series = _series(nwb, "iEEG", file)
    data = series["data"]
    if data.ndim != 2:
        raise RecordingError(f"iEEG has shape {data.shape}", "(samples, contacts)")
    factor, notes = _microvolts(data, file)
    stamps = _timestamps(series, len(data), "iEEG")
    count = min(len(data), len(stamps))
    if count < len(data):
        notes.append(f"iEEG has {len(data)} samples but {count} timestamps; cropped")
    seeg = np.empty((count, data.shape[1]), np.float32)
    for start in range(0, count, 1 << 16):
        stop = min(count, start + (1 << 16))
        seeg[start:stop] = data[start:stop] * factor
    return seeg, measured_clock(stamps), notes


def _microvolts(data: Any, file: Path) -> tuple[float, list[str]]:
    unit = _text(data.attrs.get("unit", ""))
    conversion = float(data.attrs.get("conversion", 1.0))
    if unit.strip().lower() in _MICROVOLTS_PER:
        return _MICROVOLTS_PER[unit.strip().lower()] * conversion, []
    units = {row.get("units", "") for row in _table(_sidecar(file, "channels"))}
    if len(units) == 1 and (only := units.pop()).strip().lower() in _MICROVOLTS_PER:
        note = f"iEEG has the unit {unit!r}; channels.tsv says {only!r}, which was taken"
        return _MICROVOLTS_PER[only.strip().lower()], [note]
    return 1.0, [f"iEEG has the unit {unit!r}; its numbers are taken as microvolts"]


def _read_audio(nwb: Any, file: Path) -> tuple[NDArray[np.float32], SeriesClock]:
    series = _series(nwb, "Audio", file)
    data = series["data"]
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
    return [] if series is None else [_text(word) for word in series["data"][:]]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _sidecar(file: Path, kind: str) -> Path:
    return file.with_name(file.name.replace("_ieeg.nwb", f"_{kind}.tsv"))


def _table(file: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table; a byte-order mark is skipped; no file gives no rows."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def _read_labels(file: Path, contacts: int) -> tuple[str, ...]:
    sidecar = _sidecar(file, "channels")
    if not sidecar.exists():
        raise RecordingError(f"{sidecar} does not exist", "the names of the contacts in it")
    rows = _table(sidecar)
    labels = tuple(next(iter(row.values())).strip() for row in rows)
    if len(labels) != contacts or len(set(labels)) != contacts:
        raise RecordingError(
            f"{sidecar.name} names {len(labels)} contacts ({len(set(labels))} different)",
            f"{contacts} different names, one per column of iEEG",
        )
    return labels


def _read_trials(
    file: Path, shown: list[str], fs: Fraction, samples: int
) -> tuple[tuple[Trial, ...], list[str]]:
    rows = _table(_sidecar(file, "events"))
    trials = [_trial(row) for row in rows if row.get("trial_type") != _REST]
    if not rows:
        trials = _trials_from_stimulus(shown, fs)
    if not trials:
        raise RecordingError(f"{file} has no trials", "events.tsv or a Stimulus series with words")
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
