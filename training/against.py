"""Score any reconstruction against any original, from two audio files alone.

By the measures of an evaluation, so that published audio can be compared: log-mels with WaveGlow's
values at 22 050 Hz on its own 256-sample hop, speech frames those whose level (power of the Hann
frame) is within 20 dB of the 95th percentile of the original's. There is no training part, so the
oracle's two templates (speech, silence) are means over the original itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from models.errors import RecordingError, need
from models.mel import FFT, FLOOR, RATE, filterbank, hann
from models.streaming import Floats
from training.scores import (
    SHIFT_S,
    Chance,
    Doubles,
    Mask,
    Mels,
    loud_frames,
    mel_r,
    shift_chance,
    sound_scores,
)

HOP = 256
HOP_S = HOP / RATE
LEAST_S = 1.0
LENGTH_TOLERANCE = 0.1
_SILENT = 1e-5


@dataclass(frozen=True)
class Sound:
    """Audio `(n,)` at 22 050 Hz, mono; `notes` say what was done to the file."""

    path: Path
    audio: Doubles
    notes: tuple[str, ...] = field(default=())


def read_sound(path: Path) -> Sound:
    """Read a WAV, FLAC or other file that libsndfile knows: channels averaged, resampled.

    Raises
    ------
    RecordingError
        If it is missing, no audio, shorter than a second, silent, or holds NaN or infinity.
    MissingExtraError
        Without the extra `formats`.
    """
    soundfile = need("soundfile", "formats")
    if not path.is_file():
        raise RecordingError(f"{path} does not exist", "an audio file", "check the path")
    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as err:
        raise RecordingError(f"{path}: {err}", "an audio file such as WAV or FLAC") from err
    _refuse_useless(path, samples, rate)
    notes = [] if samples.shape[1] == 1 else [f"{path.name}: {samples.shape[1]} channels averaged"]
    audio = samples.mean(axis=1)
    if rate != RATE:
        notes.append(f"{path.name}: resampled from {rate} Hz to {RATE} Hz")
        common = gcd(RATE, rate)
        audio = resample_poly(audio, RATE // common, rate // common)
    return Sound(path, audio, tuple(notes))


def _refuse_useless(path: Path, samples: Doubles, rate: int) -> None:
    seconds = len(samples) / rate
    if seconds < LEAST_S:
        raise RecordingError(f"{path} lasts {seconds:.2f} s", f"at least {LEAST_S:g} s of speech")
    broken = int(np.count_nonzero(~np.isfinite(samples)))
    if broken:
        raise RecordingError(
            f"{path} holds {broken} samples that are NaN or infinite",
            "finite samples",
            "find out where they come from, and write the file again",
        )
    peak = float(np.abs(samples.mean(axis=1)).max())
    if peak < _SILENT:
        raise RecordingError(
            f"{path} is silent (peak {peak:.1e} of full scale)", "audible speech", "check the file"
        )


def waveglow_mels(audio: Mels) -> Floats:
    """Log-mels `(frames, 80)` of audio at 22 050 Hz; frame `k` is centred on sample `256 k`.

    The values of `models.mel`, on WaveGlow's grid instead of the 15 ms one.
    """
    windows = _windows(audio)
    out = np.empty((len(windows), 80), np.float32)
    basis, window = filterbank(RATE, FFT), hann(FFT)
    for start in range(0, len(windows), 512):
        spectrum = np.abs(np.fft.rfft(windows[start : start + 512] * window, axis=1))
        out[start : start + 512] = np.log(np.maximum(spectrum @ basis.T, FLOOR))
    return out


def frame_levels_db(audio: Mels) -> Doubles:
    """Power of each Hann-windowed frame, dB, `(frames,)`, at least -120."""
    windows, window = _windows(audio), hann(FFT)
    power = np.concatenate(
        [
            np.mean((windows[start : start + 512] * window) ** 2, axis=1)
            for start in range(0, len(windows), 512)
        ]
    )
    levels: Doubles = 10 * np.log10(power + 1e-12)
    return levels


def _windows(audio: Mels) -> Doubles:
    padded = np.pad(np.asarray(audio, np.float64), FFT // 2)
    frames: Doubles = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    return frames


def compare(original: Path, reconstruction: Path) -> dict[str, Any]:
    """Every score of a reconstruction, as plain values.

    The signals are compared as they lie in time; nothing is aligned. Differing lengths: the longer
    file is cut at its end to the shorter one, and both lengths are told; beyond 10 % it is refused.

    Returns
    -------
    `mel_r`, `mel_r_speech`: mean over 80 bands of Pearson r over time, all and speech frames;
    `oracle_mel_r`: of the original's mean speech and mean silence spectra, switched by its own
    speech frames; `stoi`, `estoi`; `mcd_db`, `mcd_dtw_db`, `voicing_error`, `voicing_error_speech`,
    `log_f0_r` as in `training.scores.SoundScores`; `chance`: by circular shifts of 5 s and more,
    `mel_r_95` and `mel_r_speech_95` (what 95 % of shifts stay under), `mel_r_p`, `mel_r_speech_p`
    and the number of `shifts`, all None under 10 s of audio; what was found: `seconds`, `frames`,
    `speech_frames`, `notes`.

    Raises
    ------
    RecordingError, SettingsError
        If a file cannot be used, see `read_sound`, or there is too little speech.
    """
    pair = read_sound(original), read_sound(reconstruction)
    notes = [note for sound in pair for note in sound.notes]
    samples = _common_length(pair, notes)
    audio = pair[0].audio[:samples], pair[1].audio[:samples]
    mels = waveglow_mels(audio[0]), waveglow_mels(audio[1])
    spoken = loud_frames(frame_levels_db(audio[0]))
    sound = sound_scores((_float(audio[0]), _float(audio[1])), RATE, mels, spoken, HOP_S)
    return {
        "mel_r": mel_r(*mels),
        "mel_r_speech": mel_r(*mels, spoken),
        "oracle_mel_r": mel_r(mels[0], _oracle(mels[0], spoken)),
        **vars(sound),
        "chance": _chance(mels, spoken, notes),
        "original": str(original),
        "reconstruction": str(reconstruction),
        "seconds": samples / RATE,
        "frames": len(mels[0]),
        "speech_frames": int(spoken.sum()),
        "notes": notes,
    }


def _float(audio: Doubles) -> Floats:
    return audio.astype(np.float32)


def _common_length(pair: tuple[Sound, Sound], notes: list[str]) -> int:
    lengths = [len(sound.audio) for sound in pair]
    if min(lengths) < (1 - LENGTH_TOLERANCE) * max(lengths):
        raise RecordingError(
            f"the original lasts {lengths[0] / RATE:.2f} s, the reconstruction "
            f"{lengths[1] / RATE:.2f} s",
            f"lengths within {LENGTH_TOLERANCE:.0%} of each other",
            "cut both to the same stretch of time",
        )
    if lengths[0] != lengths[1]:
        notes.append(
            f"the original lasts {lengths[0] / RATE:.3f} s, the reconstruction "
            f"{lengths[1] / RATE:.3f} s: the longer one was cut at its end"
        )
    return min(lengths)


def _oracle(mels: Floats, spoken: Mask) -> Mels:
    if spoken.all():
        # No silence in it: the oracle knows nothing.
        return np.tile(mels.mean(axis=0), (len(mels), 1))
    templates = np.stack([mels[~spoken].mean(axis=0), mels[spoken].mean(axis=0)])
    chosen: Mels = templates[spoken.astype(np.int64)]
    return chosen


def _chance(mels: tuple[Floats, Floats], spoken: Mask, notes: list[str]) -> dict[str, Any]:
    keys = ("mel_r_95", "mel_r_p", "mel_r_speech_95", "mel_r_speech_p", "shifts")
    if len(mels[0]) * HOP_S <= 2 * SHIFT_S + HOP_S:
        notes.append(f"no chance level: it needs more than {2 * SHIFT_S:g} s of audio")
        return dict.fromkeys(keys)
    found: list[Chance] = [shift_chance(*mels, mask, hop_s=HOP_S) for mask in (None, spoken)]
    values = [value for chance in found for value in (chance.limit_95, chance.p)]
    return dict(zip(keys, (*values, len(found[0].null)), strict=True))
