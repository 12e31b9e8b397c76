"""Random stretches of clips as a vocoder is trained on them.

Each batch follows from seed and number alone, so that a resumed training draws what it would have
drawn. The first spectra are those of the runtime's own object, stepped over the stretch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from torch import Tensor
from torch.utils.data import IterableDataset

from models.errors import RecordingError
from models.mel import LOG_FLOOR, VOCODER_HOP
from models.streaming import Floats
from realtime.vocoders.framewise import LOG_CEILING
from realtime.vocoders.neural import FirstSpectra
from training.seeds import mixed
from training.vocoders.clips import Clip, Clips
from training.vocoders.settings import DegradeSettings, StageSettings

# Hops before a stretch's first that carry loss: the trunk has seen something, frames overlap.
WARM = 12
# And after its last: its frames overlap too.
TAIL = 1

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Decoded:
    """Decoded mels `(hops, 80)` beside the sound `(hops * 240,)` that was really spoken."""

    mel: Floats
    sound: Floats


class SpeechStretches(IterableDataset[Batch]):
    """Batches of mel `(batch, hops, 80)`, first spectra `(batch, hops, 2, 361)` and sound.

    One pass gives `check_every` batches and goes on where the last complete pass ended.

    Parameters
    ----------
    clips : all of them, and which to draw from.
    stage : batch, hops, steps.
    degrade : what is done to mel frames.
    seed : of all draws.
    first : batches to leave out, those that an interrupted training has seen.
    decoded : decoded mels, drawn for `decoded_share` of the stretches.

    Raises
    ------
    RecordingError
        If no clip is long enough.
    """

    def __init__(
        self,
        clips: Clips,
        chosen: Sequence[Clip],
        stage: StageSettings,
        degrade: DegradeSettings,
        seed: int,
        first: int = 0,
        decoded: Sequence[Decoded] = (),
        decoded_share: float = 0.0,
    ) -> None:
        self._clips, self._stage, self._degrade = clips, stage, degrade
        self._seed, self._next = seed, first
        self.hops = stage.hops + WARM + TAIL
        self._chosen = [clip for clip in chosen if clip.hops >= self.hops]
        if not self._chosen:
            longest = max((clip.hops for clip in chosen), default=0)
            raise RecordingError(
                f"the longest file has {longest} hops", f"at least {self.hops}", "set hops lower"
            )
        lengths = np.array([clip.hops for clip in self._chosen], np.float64)
        self._weights = lengths / lengths.sum()
        self._decoded = [one for one in decoded if len(one.mel) >= self.hops]
        self._decoded_share = decoded_share if self._decoded else 0.0
        self._spectra = FirstSpectra()

    def __iter__(self) -> Iterator[Batch]:
        stop = min(self._next + self._stage.check_every, self._stage.steps)
        for number in range(self._next, stop):
            yield self.numbered(number)
        self._next = stop

    def numbered(self, number: int) -> Batch:
        """Batch `number`."""
        rng = np.random.default_rng(mixed(self._seed, "stretches", number))
        return stacked([self._one(rng) for _ in range(self._stage.batch)])

    def _one(self, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        if rng.random() < self._decoded_share:
            mel, sound = self._cut_decoded(rng)
        else:
            mel, sound = self._cut(rng)
        mel, sound = louder(mel, sound, rng.uniform(-1, 1) * self._degrade.gain)
        return mel, first_spectra(mel, self._spectra), sound

    def _cut(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        clip = self._chosen[int(rng.choice(len(self._chosen), p=self._weights))]
        first = clip.first + int(rng.integers(clip.hops - self.hops + 1))
        mel = np.array(self._clips.mel[first : first + self.hops])
        return degraded(mel, self._degrade, rng), self._clips.sound(first, self.hops)

    def _cut_decoded(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        one = self._decoded[int(rng.integers(len(self._decoded)))]
        first = int(rng.integers(len(one.mel) - self.hops + 1))
        sound = one.sound[first * VOCODER_HOP : (first + self.hops) * VOCODER_HOP]
        return one.mel[first : first + self.hops], sound


def whole(clips: Clips, clip: Clip, change: DegradeSettings | None = None, seed: int = 0) -> Batch:
    """A whole clip as a batch of one, degraded if wanted."""
    mel = np.array(clips.mel[clip.first : clip.first + clip.hops])
    if change is not None:
        mel = degraded(mel, change, np.random.default_rng(seed))
    sound = clips.sound(clip.first, clip.hops)
    return stacked([(mel, first_spectra(mel, FirstSpectra()), sound)])


def stacked(parts: Sequence[tuple[Floats, Floats, Floats]]) -> Batch:
    """Mel, spectra and sound of several stretches as tensors."""
    mel, spectra, sound = (torch.from_numpy(np.stack(kind)) for kind in zip(*parts, strict=True))
    return mel, spectra, sound


def first_spectra(mel: Floats, spectra: FirstSpectra) -> Floats:
    """First spectra `(hops, 2, 361)` of mel frames `(hops, 80)`, from a cold start."""
    spectra.reset()
    made = np.stack([spectra.next(frame.astype(np.float64)) for frame in mel])
    return np.stack([made.real, made.imag], 1)


def degraded(mel: Floats, how: DegradeSettings, rng: np.random.Generator) -> Floats:
    """Mel frames smoothed in time and with slow noise; or as they were."""
    if rng.random() >= how.share:
        return mel
    frames = 2 * int(rng.integers((how.smooth + 1) // 2)) + 1
    smooth = uniform_filter1d(mel.astype(np.float64), frames, axis=0, mode="nearest")
    noise = rng.normal(0, 1, mel.shape)
    span = int(rng.integers(1, how.noise_hops + 1))
    # An average of n has a deviation of 1 / sqrt(n).
    slow = uniform_filter1d(noise, span, axis=0, mode="nearest") * np.sqrt(span)
    made = smooth + rng.uniform(0, how.noise) * slow
    clipped: Floats = np.clip(made, LOG_FLOOR, LOG_CEILING).astype(np.float32)
    return clipped


def louder(mel: Floats, sound: Floats, nepers: float) -> tuple[Floats, Floats]:
    """Mel frames and their sound at another level."""
    moved = np.clip(mel + np.float32(nepers), LOG_FLOOR, LOG_CEILING)
    return moved.astype(np.float32), sound * np.float32(np.exp(nepers))
