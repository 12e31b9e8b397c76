"""Audio: from a sound file, from several channels to one, and onto the sEEG clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError, need
from realtime.recordings.recording import Recording
from realtime.recordings.scratch import Floats, Scratch, blocks, gathered, pieces

SILENT = 1e-4
"""Peak below which a channel holds no speech: -80 dB of full scale, three steps of 16 bits."""

Read = Callable[[int, int], NDArray[Any]]


@dataclass(frozen=True)
class Sound:
    """`samples` `(n,)` float32 with full scale 1.0, at `rate` Hz; `notes` a sentence each."""

    samples: Floats
    rate: float
    notes: tuple[str, ...] = ()


def read_sound(path: Path) -> Sound:
    """Read a WAV, FLAC or whatever else libsndfile reads, in pieces, mixed to one channel.

    Raises
    ------
    RecordingError
        If it is missing, damaged or shorter than it says.
    MissingExtraError
        Without the extra `formats` (soundfile).
    """
    soundfile = need("soundfile", "formats")
    if not path.is_file():
        raise RecordingError(f"the audio file {path} does not exist", "a WAV or FLAC file")
    try:
        with soundfile.SoundFile(path) as file:

            def read(start: int, stop: int) -> NDArray[Any]:
                file.seek(start)
                block: NDArray[Any] = file.read(stop - start, dtype="float32", always_2d=True)
                return block

            samples, notes = mixed((file.frames, file.channels), read)
            promised, rate = file.frames, float(file.samplerate)
    except soundfile.LibsndfileError as err:
        raise RecordingError(
            f"{path} cannot be read ({err})", "a complete WAV or FLAC file", "copy it again"
        ) from err
    if len(samples) < promised:
        raise RecordingError(
            f"{path} is truncated after {len(samples)} of {promised} samples",
            "a complete WAV or FLAC file",
            "copy it again",
        )
    return Sound(samples, rate, notes)


def mixed(shape: tuple[int, int], read: Read) -> tuple[Floats, tuple[str, ...]]:
    """One channel `(n,)` from `(n, channels)`: the mean of the channels that are not silent.

    A dead channel beside a live one would halve the level, so silent ones do not count.
    """
    live, notes = np.ones(shape[1], np.bool_), []
    if shape[1] > 1:
        peaks = _peaks(shape, read)
        # Relative to full scale or to the loudest: integers may come as floats.
        live = peaks > SILENT * max(1.0, peaks.max(initial=0.0))
        if live.any() and not live.all():
            dead = ", ".join(str(i + 1) for i in np.flatnonzero(~live))
            notes.append(f"audio channel {dead} of {shape[1]} is silent and was left out")
        live |= not live.any()
    samples = gathered(
        (shape[0],), lambda start, stop: read(start, stop)[:, live].mean(axis=1, dtype=np.float64)
    )
    return samples, tuple(notes)


def full_scale(sound: Floats) -> Floats:
    """Samples with full scale 1.0, scaled in place; beyond 1.5 they are integers in disguise."""
    loudest = peak(sound)
    if loudest > 1.5:
        factor = np.float32(32768 if loudest <= 32768 else 2.0**31)
        for block in blocks(sound):
            block /= factor
    return sound


def peak(sound: Floats) -> float:
    """Largest magnitude of `(n,)`."""
    return max((float(np.abs(block).max(initial=0)) for block in blocks(sound)), default=0.0)


def audio_at(recording: Recording, rate: int) -> Floats:
    """The audio on the sEEG clock: `(n,)` at `rate`, sample 0 at the first sEEG sample.

    Resampled from its effective rate and cut or padded with silence to the length of the sEEG;
    the start is right to half a sample of `rate`.

    Raises
    ------
    RecordingError
        If the recording has no audio.
    MissingExtraError
        Without the extra `formats` (soxr).
    """
    soxr = need("soxr", "formats")
    if len(recording.audio) == 0:
        raise RecordingError(
            f"{recording.path} has no audio", "speech beside the sEEG", "name its audio file"
        )
    samples = int(len(recording.seeg) * rate / recording.fs)
    offset = round(recording.audio_start_s * rate)
    out, skip = Scratch((samples,)), max(0, -offset)
    _add_silence(out, min(samples, max(0, offset)))
    stream = soxr.ResampleStream(recording.audio_rate, float(rate), 1, dtype="float32")
    left = len(recording.audio)
    for block in blocks(recording.audio):
        left -= len(block)
        sound = stream.resample_chunk(np.asarray(block), last=left == 0)
        dropped = min(skip, len(sound))
        skip -= dropped
        out.add(sound[dropped : dropped + samples - out.filled])
    _add_silence(out, samples - out.filled)
    return out.array()


def _add_silence(out: Scratch, count: int) -> None:
    for start, stop in pieces(count):
        out.add(np.zeros(stop - start, np.float32))


def _peaks(shape: tuple[int, int], read: Read) -> NDArray[np.float64]:
    peaks = np.zeros(shape[1])
    for start, stop in pieces(*shape):
        peaks = np.maximum(peaks, np.abs(read(start, stop).astype(np.float64)).max(0, initial=0))
    return peaks
