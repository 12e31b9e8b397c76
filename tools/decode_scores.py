"""Decoded mel frames against the microphone, and against the session as it was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from models.hops import HOP
from models.mel import RATE, VOCODER_HOP, VOCODER_RATE, log_mel
from models.streaming import Floats

_LEAST_FRAMES = 100


@dataclass(frozen=True)
class Microphone:
    """What was said, on the hop grid: `mel` `(hops, 80)`, `audio` `(hops * 240,)` at 16 kHz."""

    mel: Floats
    audio: Floats

    @property
    def speech(self) -> NDArray[np.bool_]:
        """Frames within 20 dB of the loud ones, `(hops,)`."""
        from training.scores import loud_frames

        power = np.mean(self.audio.reshape(-1, VOCODER_HOP).astype(np.float64) ** 2, axis=1)
        return loud_frames(10 * np.log10(power + 1e-12))


def microphone(
    summary: Mapping[str, Any], hops: int, audio: Path | None, offset_s: float
) -> Microphone | None:
    """The microphone beside a decoded file: a sound file, or what the recording holds; else None.

    Raises
    ------
    RecordingError
        If the sound file named cannot be read.
    """
    recording = _recording(summary, hops, audio, offset_s)
    if recording is None:
        return None
    from realtime.recordings import audio_at

    return Microphone(
        log_mel(audio_at(recording, RATE), hops),
        _fitted(audio_at(recording, VOCODER_RATE), hops * VOCODER_HOP),
    )


def _recording(summary: Mapping[str, Any], hops: int, audio: Path | None, offset_s: float) -> Any:
    """A recording with audio, or None."""
    from realtime.recordings import Recording, read_recording

    if audio is None:
        if summary["kind"] == "session":
            return None
        try:
            found = read_recording(summary["file"])
        except RecordingError:
            # Without audio, trials or channel types it can still be decoded.
            return None
        return found if len(found.audio) else None
    from realtime.recordings.sound import read_sound

    sound, fs = read_sound(audio), Fraction(1000)
    length = int(hops * HOP * fs)
    return Recording(
        path=audio,
        # Only its length counts, and it takes no memory.
        seeg=np.broadcast_to(np.float32(0), (length, 1)),
        fs=fs,
        labels=("none",),
        audio=sound.samples,
        audio_rate=sound.rate,
        audio_start_s=offset_s,
        trials=(),
    )


def _fitted(audio: Floats, samples: int) -> Floats:
    out = np.zeros(samples, np.float32)
    part = audio[:samples]
    out[: len(part)] = part
    return out


def on_grid(mel: Floats, index: NDArray[np.int64], hops: int, ahead: int = 0) -> Floats:
    """Frames at the place of the sound that they describe, NaN where none was decoded.

    Parameters
    ----------
    index : `(n,)`, the number of each frame's hop.
    ahead : hops by which the decoder looks back.
    """
    out = np.full((hops, mel.shape[1]), np.nan, np.float32)
    places = index - ahead
    inside = (places >= 0) & (places < hops)
    out[places[inside]] = mel[inside]
    return out


def sound_on_grid(audio: Floats, index: NDArray[np.int64], hops: int) -> Floats:
    """Audio with silence where hops were left out, `(hops * 240,)`."""
    out = np.zeros((hops, VOCODER_HOP), np.float32)
    inside = index < hops
    out[index[inside]] = audio.reshape(-1, VOCODER_HOP)[inside]
    return out.ravel()


def scores(truth: Microphone, lines: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """Per line: Pearson r over time, of all frames and of speech frames, each beside chance.

    Frames that any of the lines lacks count for none of them. Chance is what 95 % of circular
    shifts by 5 s and more stay under; None where the part is too short for it.
    """
    from training.scores import distortion_db, mel_r

    there = np.all([np.isfinite(mel).all(axis=1) for mel in lines.values()], axis=0)
    there = there[: len(truth.mel)]
    true, speech = truth.mel[: len(there)][there], truth.speech[: len(there)][there]
    if len(true) < _LEAST_FRAMES or np.count_nonzero(speech) < _LEAST_FRAMES:
        return []
    rows = []
    for name, mel in lines.items():
        mine = mel[: len(there)][there]
        rows.append(
            {
                "name": name,
                "mel_r": mel_r(true, mine),
                **_chance("", true, mine, None),
                "mel_r_speech": mel_r(true, mine, speech),
                **_chance("_speech", true, mine, speech),
                "mcd_db_speech": distortion_db(true, mine, speech),
                "frames": len(true),
                "speech_frames": int(speech.sum()),
            }
        )
    return rows


def _chance(
    suffix: str, true: Floats, mine: Floats, frames: NDArray[np.bool_] | None
) -> dict[str, float | None]:
    from training.scores import SHIFT_S, shift_chance

    keys = (f"chance_95{suffix}", f"p{suffix}")
    if len(true) * float(HOP) <= 2 * SHIFT_S + float(HOP):
        return dict.fromkeys(keys)
    found = shift_chance(true, mine, frames)
    return dict(zip(keys, (found.limit_95, found.p), strict=True))


def between(recorded: Floats, decoded: Floats) -> dict[str, float] | None:
    """How alike two runs' frames are: r over time, and mean and largest difference, nepers."""
    from training.scores import mel_r

    there = np.isfinite(recorded).all(axis=1) & np.isfinite(decoded).all(axis=1)
    if np.count_nonzero(there) < _LEAST_FRAMES:
        return None
    apart = np.abs(recorded[there] - decoded[there])
    return {
        "mel_r": mel_r(recorded[there], decoded[there]),
        "mean_abs_mel": float(apart.mean()),
        "max_abs_mel": float(apart.max()),
    }
