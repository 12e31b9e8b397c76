"""One held-out part and everything an evaluation fits on the parts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np

from models.frontend import FrontEnd, Statistics
from models.hops import HOP, HopClock
from models.mel import RATE, VOCODER_RATE
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.recordings import Recording, audio_at
from training.baselines import Piece
from training.folds import Fold
from training.prepare import cut_mel, prepare_parts
from training.scores import Cues, Split, split_trials
from training.settings import ExperimentSettings
from training.stretches import Part


@dataclass(frozen=True)
class HeldOut:
    """A held-out part, `seeg` in microvolts, and the training parts that it must not be in.

    Parameters
    ----------
    spec, statistics : of the training parts.
    training, validation : features and targets, each on a hop grid of its own.
    pieces : microvolts and targets of the training parts.
    training_sound : their audio at the rate of the sEEG, `(samples,)` each.
    seeg : held out, `(samples, contacts)`.
    mel : its targets, `(hops, 80)`.
    audio : its true sound at 16 kHz, `(n,)`.
    cues : of all trials, in frames of the training parts one after another, and of `mel`.
    start_s : when the held-out part starts.
    """

    spec: BundleSpec
    statistics: Statistics
    training: tuple[Part, ...]
    validation: tuple[Part, ...]
    pieces: tuple[Piece, ...]
    training_sound: tuple[Floats, ...]
    seeg: Floats
    mel: Floats
    audio: Floats
    cues: Cues
    start_s: float

    @property
    def training_mel(self) -> Floats:
        """Targets of all training parts, one after another, `(hops, 80)`."""
        return np.concatenate([part.mel for part in self.training])

    def features(self) -> Floats:
        """Features of the held-out part, `(samples, channels)`, by the training statistics."""
        spec = self.spec
        front_end = FrontEnd(spec.front_end, spec.contacts, spec.fs_hz, self.statistics)
        return front_end.step(self.seeg)


def held_out_fold(
    recording: Recording,
    settings: ExperimentSettings,
    fold: Fold,
    cache: Path | None = None,
    audio: Floats | None = None,
) -> HeldOut:
    """The held-out part of a fold.

    Parameters
    ----------
    cache : folder of kept features; None computes them.
    audio : `audio_at(recording, 22 050)`, if at hand.

    Raises
    ------
    RecordingError
        As `training.prepare.prepare_parts`.
    """
    audio = audio_at(recording, RATE) if audio is None else audio
    validation = [] if fold.validation is None else [fold.validation]
    parts = prepare_parts(recording, settings, fold.train, validation, cache, audio)
    test, fs = fold.test, recording.fs
    seeg = recording.seeg[test]
    sound, slow = audio_at(recording, VOCODER_RATE), audio_at(recording, round(fs))
    first = round(Fraction(test.start) / fs * VOCODER_RATE)
    length = int(len(seeg) * VOCODER_RATE / fs)
    pieces = zip(fold.train, parts.training, strict=True)
    return HeldOut(
        spec=parts.spec,
        statistics=parts.statistics,
        training=parts.training,
        validation=parts.validation,
        pieces=tuple(Piece(recording.seeg[span], part.mel) for span, part in pieces),
        training_sound=tuple(slow[span] for span in fold.train),
        seeg=seeg,
        mel=cut_mel(audio, test.start, len(seeg), parts.spec.clock),
        audio=sound[first : first + length],
        cues=Cues(cue_frames(recording, fold.train), cue_frames(recording, [test])),
        start_s=float(test.start / fs),
    )


def single_fold(recording: Recording, settings: ExperimentSettings) -> Fold:
    """The one split that training makes of a recording, as a fold.

    Raises
    ------
    SettingsError
        If it leaves a part without a trial.
    """
    split = split_trials(recording, settings.test_fraction, settings.validation.fraction)
    return fold_of(recording, split)


def fold_of(recording: Recording, split: Split) -> Fold:
    """A split of one held-out part as a fold."""
    first, stop = split.test.start, split.test.stop
    # A part starts at the first sample after its first cue: at most one sample late.
    held = [
        i for i, t in enumerate(recording.trials) if first - 1 < t.onset_s * recording.fs < stop
    ]
    return Fold((split.train,), split.validation, split.test, range(held[0], held[-1] + 1))


def cue_frames(recording: Recording, spans: Sequence[slice]) -> tuple[int, ...]:
    """Frame of each cue inside spans of sEEG samples, the spans counted one after another."""
    frames: list[int] = []
    before, fs = 0, recording.fs
    for span in spans:
        hops = HopClock(fs).hops_in(span.stop - span.start)
        places = [floor((t.onset_s - span.start / fs) / HOP) for t in recording.trials]
        frames += [before + max(0, place) for place in places if -1 <= place < hops]
        before += hops
    return tuple(frames)


def split_cues(recording: Recording, settings: ExperimentSettings) -> Cues:
    """Cues of the parts into which training splits a recording."""
    fold = single_fold(recording, settings)
    return Cues(cue_frames(recording, fold.train), cue_frames(recording, [fold.test]))
