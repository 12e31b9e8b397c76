"""Speech for the simulated patient: espeak-ng, or any folder of recordings."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError, SettingsError, need

Audio = NDArray[np.float32]

_SUFFIXES = (".wav", ".flac")


@dataclass(frozen=True)
class Phone:
    """One speech sound: IPA label, start and length in seconds from the start of its audio."""

    label: str
    onset_s: float
    duration_s: float


@dataclass(frozen=True)
class Utterance:
    """One thing said: `audio` is `(samples,)`, full scale 1.0, at `rate` Hz.

    `phones` is None when the sounds are not known (recordings without alignment).
    """

    text: str
    audio: Audio
    rate: int
    phones: tuple[Phone, ...] | None

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.audio) / self.rate


def synthesise(texts: Sequence[str], voice: str = "nl", seed: int = 0) -> list[Utterance]:
    """Let espeak-ng say each text, with pace, pitch and loudness varied from text to text.

    The same texts, voice and seed give the same samples. Silence at both ends is cut.

    Parameters
    ----------
    texts : what to say.
    voice : espeak-ng voice name.
    seed : of the variation: 130-175 words a minute, pitch 35-60 of 100, loudness +-3 dB.

    Raises
    ------
    MissingExtraError
        Without the extra `speech`.
    SettingsError
        If the voice does not exist or a text gives no sound.
    """
    need("espeakng_loader", "speech")
    rng = np.random.default_rng([seed, 0x5BEEC4])
    say = [(text, int(rng.integers(130, 176)), int(rng.integers(35, 61))) for text in texts]
    arrays = _ask_espeak(json.dumps({"voice": voice, "say": say}))
    rate = int(arrays["rate"])
    said = []
    for i, text in enumerate(texts):
        audio = arrays[f"audio_{i}"].astype(np.float32) / np.float32(32768)
        phones = _phones(arrays[f"starts_{i}"], arrays[f"labels_{i}"], rate, len(audio))
        said.append(_levelled(_trimmed(Utterance(text, audio, rate, phones)), rng.uniform(-3, 3)))
    return said


def _ask_espeak(request: str) -> dict[str, NDArray[np.generic]]:
    command = [sys.executable, "-m", "training.espeak"]
    done = subprocess.run(command, input=request.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SettingsError(said[-1] if said else f"espeak-ng ended with code {done.returncode}")
    with np.load(io.BytesIO(done.stdout)) as file:
        return {name: file[name] for name in file.files}


def _phones(
    starts: NDArray[np.generic], labels: NDArray[np.generic], rate: int, samples: int
) -> tuple[Phone, ...]:
    edges = [*(int(start) for start in starts), samples]
    return tuple(
        Phone(str(label), start / rate, (end - start) / rate)
        for label, start, end in zip(labels, edges[:-1], edges[1:], strict=True)
        if str(label) and end > start
    )


def read_folder(folder: Path | str) -> list[Utterance]:
    """Every WAV and FLAC file below a folder, as utterances in order of path.

    The text is the file's stem; several channels are averaged; loudness is levelled.

    Raises
    ------
    RecordingError
        If the folder does not exist, holds no such file, or one cannot be read or is silent.
    """
    folder = Path(folder)
    soundfile = need("soundfile", "formats")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    if not files:
        raise RecordingError(
            f"no speech in {folder}" + ("" if folder.is_dir() else " (no such folder)"),
            "a folder with .wav or .flac files",
            "give another folder, or leave the option out for synthesised speech",
        )
    said = []
    for file in files:
        try:
            samples, rate = soundfile.read(str(file), dtype="float32", always_2d=True)
        except (RuntimeError, OSError) as err:
            raise RecordingError(f"{file} cannot be read ({err})", "a WAV or FLAC file") from err
        said.append(_levelled(_trimmed(Utterance(file.stem, samples.mean(1), int(rate), None)), 0))
    return said


def _trimmed(utterance: Utterance, below_peak_db: float = 50.0) -> Utterance:
    """Without the silence at both ends (10 ms left standing)."""
    loud = np.flatnonzero(
        np.abs(utterance.audio)
        > np.abs(utterance.audio).max(initial=0) * 10 ** (-below_peak_db / 20)
    )
    if len(loud) == 0:
        raise RecordingError(f"utterance {utterance.text!r} is silent", "audible speech")
    margin = utterance.rate // 100
    start, stop = max(0, int(loud[0]) - margin), int(loud[-1]) + margin
    offset = start / utterance.rate
    phones = utterance.phones and tuple(
        Phone(p.label, p.onset_s - offset, p.duration_s) for p in utterance.phones
    )
    return Utterance(utterance.text, utterance.audio[start:stop].copy(), utterance.rate, phones)


def _levelled(utterance: Utterance, db: float, rms: float = 0.06) -> Utterance:
    """At a common loudness, `db` above it; never above 0.95 of full scale."""
    level = float(np.sqrt(np.mean(np.square(utterance.audio, dtype=np.float64))))
    gain = min(rms * 10 ** (db / 20) / level, 0.95 / float(np.abs(utterance.audio).max()))
    audio = (utterance.audio * gain).astype(np.float32)
    return Utterance(utterance.text, audio, utterance.rate, utterance.phones)
