"""Speech for training as two long files: sound of 16 bits and, beside it, its mel frames.

Reading, resampling and analysing happen once, file by file; training then cuts stretches out of
mapped memory, however long the corpus is. A file that cannot serve (8 kHz, silent, too short,
damaged) is left out and said to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError, need
from models.files import new_folder
from models.mel import BANDS, RATE, VOCODER_HOP, VOCODER_RATE
from models.streaming import Floats
from training.vocoders.sources import read_speech

_FULL = 32767
LONG = 1000
"""Hops (15 s) of the pieces of a file that is longer than two of them."""


@dataclass(frozen=True)
class Clip:
    """One file: its first hop among all, how many it has, and whose voice it is."""

    name: str
    voice: str
    first: int
    hops: int


@dataclass(frozen=True)
class Clips:
    """All clips; `audio` `(hops * samples per hop,)` int16, `mel` `(hops, 80)`, both mapped."""

    clips: tuple[Clip, ...]
    audio: NDArray[np.int16]
    mel: Floats
    skipped: tuple[str, ...] = ()

    def sound(self, first: int, hops: int) -> Floats:
        """Sound of some hops, `(hops * 240,)`, full scale 1.0."""
        part = self.audio[first * VOCODER_HOP : (first + hops) * VOCODER_HOP]
        return part.astype(np.float32) / np.float32(_FULL)

    @property
    def minutes(self) -> float:
        """Of speech."""
        return sum(clip.hops for clip in self.clips) * VOCODER_HOP / VOCODER_RATE / 60


def make_clips(
    files: Iterable[tuple[Path, str]],
    folder: Path,
    told: Callable[[str], None] = lambda line: None,
) -> Clips:
    """Read all files, each with its voice, into `folder`, which is made anew.

    Raises
    ------
    RecordingError
        If none of them can serve.
    """
    clips: list[Clip] = []
    skipped: list[str] = []
    with new_folder(folder, overwrite=True) as partial:
        with (partial / "audio.i16").open("wb") as audio, (partial / "mel.f32").open("wb") as mel:
            done = 0
            for path, voice in files:
                try:
                    source = read_speech(path)
                except RecordingError as err:
                    skipped.append(f"{path.name}: {err.found}")
                    told(skipped[-1])
                    continue
                assert source.audio is not None
                audio.write(np.rint(np.clip(source.audio, -1, 1) * _FULL).astype("<i2").tobytes())
                mel.write(source.mel.astype("<f4").tobytes())
                clips += _pieces(path.name, voice, done, len(source.mel))
                done += len(source.mel)
        if not clips:
            raise RecordingError(
                f"none of {len(skipped)} files can be trained on ({'; '.join(skipped[:3])})",
                "speech of 16 kHz or more",
                "name other files",
            )
        about = {"clips": [asdict(clip) for clip in clips], "skipped": skipped}
        (partial / "clips.json").write_text(json.dumps(about))
    return read_clips(folder)


def _pieces(name: str, voice: str, first: int, hops: int) -> list[Clip]:
    """A file as one clip; a long one as several, so that some of it can be held out."""
    if hops <= 2 * LONG:
        return [Clip(name, voice, first, hops)]
    count = hops // LONG
    cuts = [first + hops * i // count for i in range(count + 1)]
    return [Clip(f"{name}#{i}", voice, a, b - a) for i, (a, b) in enumerate(pairwise(cuts))]


def read_clips(folder: Path) -> Clips:
    """What `make_clips` left."""
    about = json.loads((folder / "clips.json").read_text())
    return Clips(
        tuple(Clip(**clip) for clip in about["clips"]),
        np.memmap(folder / "audio.i16", "<i2", "r"),
        np.memmap(folder / "mel.f32", "<f4", "r").reshape(-1, BANDS),
        tuple(about["skipped"]),
    )


def divide(clips: Sequence[Clip], share: float) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Clips to train on and clips held out, evenly spread, at least one of each.

    Raises
    ------
    RecordingError
        If there are not two.
    """
    if len(clips) < 2:
        raise RecordingError(
            f"{len(clips)} file of speech", "at least two: one is held out", "cut it in two"
        )
    every = max(2, round(1 / share))
    held = tuple(clip for i, clip in enumerate(clips) if i % every == every // 2)
    held = held or (clips[-1],)
    return tuple(clip for clip in clips if clip not in held), held


def at_mel_rate(sound: Floats) -> Floats:
    """Sound at 22 050 Hz from 16 kHz: nothing above 8 kHz is in a mel frame anyway."""
    resampled: Floats = need("soxr", "formats").resample(sound, VOCODER_RATE, RATE)
    return resampled
