"""A session's audio as WAV files, as handed to playout and as played."""

from __future__ import annotations

import wave
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from models.files import new_folder
from models.mel import VOCODER_RATE
from models.streaming import Floats
from realtime.record.reading import open_session
from realtime.record.stretches import played_stretches

_CHUNK = 1 << 18
# Sizes in a WAV header have 32 bits.
_MOST_FRAMES = (2**32 - 1024) // 2


def export_wav(folder: Path, out: Path, overwrite: bool = False) -> list[Path]:
    """Write `handed.wav`, and `played.wav` (`played-2.wav`... after a change of rate), 16 bit mono.

    Parameters
    ----------
    folder : of the session.
    out : folder for the files, new.

    Raises
    ------
    RecordingError
        If it is no session, holds no audio, or more than a WAV file can.
    BusyOutputError
        If `out` exists and `overwrite` is not set.
    """
    with open_session(folder) as file, new_folder(out, overwrite) as partial:
        handed = file["audio/handed"]
        if not len(handed):
            raise RecordingError(f"{folder} holds no audio", "at least one hop", "choose another")
        names = ["handed.wav"]
        _write(partial / names[0], handed, 0, len(handed), VOCODER_RATE)
        for i, (first, stop, rate) in enumerate(_of_one_rate(file)):
            names.append(f"played-{i + 1}.wav" if i else "played.wav")
            _write(partial / names[-1], file["audio/played"], first, stop, rate)
    return [out / name for name in names]


def _of_one_rate(file: h5py.File) -> list[tuple[int, int, int]]:
    runs: list[tuple[int, int, int]] = []
    for stretch in played_stretches(file):
        if runs and runs[-1][2] == stretch.nominal_hz:
            runs[-1] = (runs[-1][0], stretch.stop, stretch.nominal_hz)
        else:
            runs.append((stretch.first, stretch.stop, stretch.nominal_hz))
    return runs


def _write(path: Path, audio: h5py.Dataset, first: int, stop: int, rate: int) -> None:
    if stop - first > _MOST_FRAMES:
        raise RecordingError(
            f"{path.name} would hold {(stop - first) / rate / 3600:.1f} h",
            f"at most {_MOST_FRAMES / rate / 3600:.1f} h at {rate} Hz",
            "read the dataset from session.h5, or export NWB",
        )
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        for at in range(first, stop, _CHUNK):
            out.writeframesraw(_pcm(audio[at : min(at + _CHUNK, stop)]))


def _pcm(audio: Floats) -> bytes:
    finite = np.nan_to_num(audio, nan=0.0, posinf=0.0, neginf=0.0)
    whole: NDArray[np.int16] = np.clip(np.rint(finite * 32767.0), -32768, 32767).astype("<i2")
    return whole.tobytes()
