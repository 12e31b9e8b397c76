"""What can be vocoded: a file of mel frames, the record of a session, or sound (copy synthesis)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError, SettingsError, need
from models.mel import BANDS, LOG_FLOOR, RATE, VOCODER_HOP, VOCODER_RATE, log_mel
from models.spec import MelSpec
from models.streaming import Floats
from realtime.record.layout import INDEX
from realtime.record.reading import read_run
from realtime.recordings.sound import SILENT, peak, read_sound
from realtime.vocoders.framewise import LOG_CEILING

LEAST_S = 1.0
# So many samples in a row at the loudest value are no wave any more.
CLIPPED_RUN = 3
_FULL = 0.999
_MEL_FILES = (".npy", ".npz")


@dataclass(frozen=True)
class Source:
    """Mel frames `(hops, 80)` on the hop grid; `audio` `(n,)` at 16 kHz is what they came from."""

    path: Path
    mel: Floats
    audio: Floats | None = None
    notes: tuple[str, ...] = ()


def read_source(path: Path) -> Source:
    """Read whatever it is.

    Raises
    ------
    RecordingError
        If it is neither, or cannot serve: see `read_mel`, `read_session` and `read_speech`.
    """
    if (path / INDEX).exists():
        return read_session(path)
    if path.is_dir():
        raise RecordingError(
            f"{path} is a folder and no session",
            "a session's folder, a file of mel frames or sound",
            "for a table over a folder of voices give --table",
        )
    return read_mel(path) if path.suffix in _MEL_FILES else read_speech(path)


# --- mel frames ---------------------------------------------------------------------------------


def read_mel(path: Path) -> Source:
    """Frames from `.npy`, or from `.npz` with an array `mel` and, if it likes, how it was made.

    What may stand beside `mel` are the fields of `models.spec.MelSpec` and `hop_s`, each a scalar.

    Raises
    ------
    RecordingError
        If there are none, or they are not log-mels `(hops, 80)` by this project's definition.
    """
    try:
        with np.load(path, allow_pickle=False) if path.suffix == ".npz" else _Bare(path) as file:
            arrays = {name: file[name] for name in file}
    except (OSError, ValueError, EOFError) as err:
        raise RecordingError(f"{path} cannot be read ({err})", "an array of mel frames") from err
    if "mel" not in arrays:
        raise RecordingError(f"{path} holds {sorted(arrays)}", "an array named 'mel'")
    check_definition(path, arrays)
    return Source(path, checked_mel(path, arrays["mel"]))


class _Bare(dict[str, NDArray[Any]]):
    """One array as if it had a name."""

    def __init__(self, path: Path) -> None:
        super().__init__(mel=np.load(path, allow_pickle=False))

    def __enter__(self) -> _Bare:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def check_definition(path: Path, said: dict[str, NDArray[Any]]) -> None:
    """Refuse mel frames whose file says that they were made otherwise.

    Raises
    ------
    RecordingError
        Naming what differs.
    """
    wanted = {**MelSpec().model_dump(), "hop_s": "0.015"}
    differ = [
        f"{key} {said[key].item()}"
        for key, value in wanted.items()
        if key in said and not np.isclose(float(said[key].item()), float(value), rtol=1e-6)
    ]
    if differ:
        raise RecordingError(
            f"{path} says its mels have {', '.join(differ)}",
            ", ".join(f"{key} {value}" for key, value in wanted.items()),
            "make mel frames by models.mel.log_mel",
        )


def checked_mel(path: Path, mel: NDArray[Any]) -> Floats:
    """Log-mel frames as float32.

    Raises
    ------
    RecordingError
        If their shape or their values cannot be natural logs of mel amplitudes.
    """
    if mel.ndim != 2 or mel.shape[1] != BANDS or not len(mel):
        turned = mel.ndim == 2 and mel.shape[0] == BANDS
        raise RecordingError(
            f"{path} holds mel frames of shape {mel.shape}",
            f"(hops, {BANDS})",
            "transpose it" if turned else "make them by models.mel.log_mel",
        )
    if mel.dtype.kind != "f" or not np.isfinite(mel).all():
        raise RecordingError(
            f"{path} holds values of {mel.dtype} that are not all finite numbers", "finite floats"
        )
    low, high = float(mel.min()), float(mel.max())
    if low < LOG_FLOOR - 0.01 or high > LOG_CEILING or low >= 0:
        raise RecordingError(
            f"{path} holds values from {low:.3g} to {high:.3g}",
            f"natural logs of mel amplitude, {LOG_FLOOR:.2f} to {LOG_CEILING:g}",
            "decibels, powers and base-10 logs are other scales: convert them",
        )
    return mel.astype(np.float32)


def read_session(folder: Path) -> Source:
    """The mel frames of a session's record; hops that a cold start passed over are silent.

    Raises
    ------
    RecordingError
        If it is no session or has no hop.
    """
    run = read_run(folder)
    if not len(run.hops):
        raise RecordingError(f"{folder} has no decoded hop", "a session with hops")
    index = run.hops["index"] - run.hops["index"][0]
    mel = np.full((int(index[-1]) + 1, BANDS), LOG_FLOOR, np.float32)
    mel[index] = run.mel
    gaps = len(mel) - len(run.mel)
    notes = (f"{gaps} hops that were not decoded are silent",) if gaps else ()
    return Source(folder, mel, None, notes)


# --- sound --------------------------------------------------------------------------------------


def read_speech(path: Path) -> Source:
    """Sound as its mel frames and at 16 kHz, both cut to whole hops.

    Channels are averaged but for silent ones. Clipped sound is taken as it is, with a note: the
    distortion is then part of the original.

    Raises
    ------
    RecordingError
        If it cannot be read, is under 16 kHz, shorter than a second, silent, or not finite.
    MissingExtraError
        Without the extra `formats`.
    """
    soxr = need("soxr", "formats")
    sound = read_sound(path)
    _refuse_useless(path, sound.samples, sound.rate)
    notes = (*sound.notes, *_clipping(sound.samples))
    mel = log_mel(soxr.resample(sound.samples, sound.rate, RATE))
    audio = soxr.resample(sound.samples, sound.rate, VOCODER_RATE)[: len(mel) * VOCODER_HOP]
    audio = np.pad(audio, (0, len(mel) * VOCODER_HOP - len(audio)))
    return Source(path, mel, audio.astype(np.float32), notes)


def _refuse_useless(path: Path, samples: Floats, rate: float) -> None:
    if rate < VOCODER_RATE:
        raise RecordingError(
            f"{path} has {rate:g} samples a second",
            f"at least {VOCODER_RATE}: the mels reach up to 8 kHz",
            "give the recording at its original rate; resampling up brings nothing back",
        )
    if len(samples) < LEAST_S * rate:
        raise RecordingError(
            f"{path} lasts {len(samples) / rate:.2f} s", f"at least {LEAST_S:g} s of speech"
        )
    broken = int(np.count_nonzero(~np.isfinite(samples)))
    if broken:
        raise RecordingError(
            f"{path} holds {broken} samples that are NaN or infinite", "finite samples"
        )
    if peak(samples) < SILENT:
        raise RecordingError(
            f"{path} is silent (peak {peak(samples):.1e} of full scale)", "audible speech"
        )


def _clipping(samples: Floats) -> tuple[str, ...]:
    """A note if the wave was cut off at full scale."""
    at = np.concatenate([[0], np.abs(samples) >= _FULL, [0]]).astype(np.int8)
    starts, stops = np.flatnonzero(np.diff(at) == 1), np.flatnonzero(np.diff(at) == -1)
    runs = (stops - starts)[stops - starts >= CLIPPED_RUN]
    if not len(runs):
        return ()
    return (f"{int(runs.sum())} samples in {len(runs)} places are clipped at full scale",)


def write_mel(path: Path, mel: Floats) -> None:
    """Mel frames as `.npz` that says how they were made; the file is the caller's to place."""
    said = {key: np.array(value) for key, value in MelSpec().model_dump().items()}
    if path.suffix != ".npz":
        raise SettingsError(f"{path.name}", "a name that ends in .npz", "rename it")
    np.savez(path, mel=mel, hop_s=np.array(0.015), **said)  # type: ignore[arg-type]
