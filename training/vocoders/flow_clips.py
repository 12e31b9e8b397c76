"""Stretches of speech as WaveGlow is trained on them: sound at 22 050 Hz, mel frames every 256."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from models.errors import RecordingError
from models.mel import VOCODER_HOP
from models.streaming import Floats
from training.against import waveglow_mels
from training.seeds import mixed
from training.vocoders.clips import Clip, Clips, at_mel_rate
from training.vocoders.settings import VocoderTraining

FlowBatch = tuple[Tensor, Tensor]


class FlowStretches(IterableDataset[FlowBatch]):
    """Batches of mel `(batch, 80, frames)` and sound `(batch, segment)`; as `SpeechStretches`.

    Raises
    ------
    RecordingError
        If no clip is long enough.
    """

    def __init__(
        self, clips: Clips, chosen: Sequence[Clip], settings: VocoderTraining, first: int = 0
    ) -> None:
        self._clips, self._settings, self._next = clips, settings, first
        self._hops = hops_of(settings.segment)
        self._chosen = [clip for clip in chosen if clip.hops >= self._hops]
        if not self._chosen:
            raise RecordingError(
                f"no file has {self._hops} hops", "one stretch", "set segment lower"
            )

    def __iter__(self) -> Iterator[FlowBatch]:
        stage = self._settings.reconstruction
        stop = min(self._next + stage.check_every, stage.steps)
        for number in range(self._next, stop):
            yield self.numbered(number)
        self._next = stop

    def numbered(self, number: int) -> FlowBatch:
        """Batch `number`."""
        settings = self._settings
        rng = np.random.default_rng(mixed(settings.seed, "flow", number))
        return stacked([self._one(rng) for _ in range(settings.reconstruction.batch)])

    def _one(self, rng: np.random.Generator) -> Floats:
        clip = self._chosen[int(rng.integers(len(self._chosen)))]
        first = clip.first + int(rng.integers(clip.hops - self._hops + 1))
        return cut(self._clips, first, self._settings.segment)


def hops_of(segment: int) -> int:
    """Hops at 16 kHz that hold a segment at 22 050 Hz."""
    return -(-segment * 16_000 // 22_050 // VOCODER_HOP) + 2


def cut(clips: Clips, first: int, segment: int) -> Floats:
    """A segment `(segment,)` of the sound at 22 050 Hz that begins with a hop."""
    return at_mel_rate(clips.sound(first, hops_of(segment)))[:segment]


def stacked(sounds: Sequence[Floats]) -> FlowBatch:
    """Mel frames and sound as tensors."""
    mels = np.stack([waveglow_mels(sound).T for sound in sounds])
    return torch.from_numpy(mels), torch.from_numpy(np.stack(sounds).astype(np.float32))
