"""Predictions without neural data: what a decoder has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import SettingsError
from training.scores.activity import speech_frames
from training.scores.arrays import Doubles, Mels


@dataclass(frozen=True)
class Cues:
    """Frame of each trial's cue, counted in its own part: training, held out."""

    training: tuple[int, ...]
    held_out: tuple[int, ...]


def mean_spectrum(training: Mels, frames: int) -> Doubles:
    """The training mean at every frame, `(frames, 80)`; its correlation over time is 0."""
    return np.tile(np.asarray(training, np.float64).mean(axis=0), (frames, 1))


def speech_silence_oracle(training: Mels, threshold: float, truth: Mels) -> Doubles:
    """Mean speech and mean silence of training, switched by the TRUE voice activity of the test.

    A decoder that does not beat it on speech frames is a voice activity detector and no more
    (on those frames the oracle itself is constant: r 0).
    """
    spoken = speech_frames(training, threshold)
    if spoken.all() or not spoken.any():
        raise SettingsError("the training part is all speech or all silence", "both")
    templates = np.stack([training[~spoken].mean(axis=0), training[spoken].mean(axis=0)])
    chosen: Doubles = templates[speech_frames(truth, threshold).astype(np.int64)]
    return chosen.astype(np.float64)


def cue_locked_average(
    training: Mels, training_cues: Sequence[int], test_cues: Sequence[int], frames: int
) -> Doubles:
    """Average training trial pasted at every cue of the test part, `(frames, 80)`.

    Parameters
    ----------
    training_cues, test_cues : frame of each cue, counted in its own part.
    frames : length of the test part.
    """
    starts = [cue for cue in sorted(training_cues) if 0 <= cue < len(training)]
    if not starts:
        raise SettingsError("no cue lies in the training part", "at least one")
    following = [*starts[1:], len(training)]
    length = int(np.median(np.subtract(following, starts)))
    whole = [training[s : s + length] for s in starts if s + length <= len(training)]
    template = np.mean(whole or [training[starts[-1] :]], axis=0)
    out = mean_spectrum(training, frames)
    for cue in test_cues:
        if 0 <= cue < frames:
            part = template[: frames - cue]
            out[cue : cue + len(part)] = part
    return out
