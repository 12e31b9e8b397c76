"""From a recording to a training part and a held-out part, nothing of the second in the first."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from models.frontend import FrontEnd, Statistics, fit_statistics
from models.hops import HopClock
from models.mel import RATE, log_mel
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.recordings import Recording, audio_at
from training.scores import split_trials
from training.settings import ExperimentSettings
from training.stretches import Part

_BLOCK = 8192


@dataclass(frozen=True)
class Prepared:
    """What training and scoring need; sEEG in microvolts `(samples, contacts)`, mel `(hops, 80)`.

    Both parts stand on hop grids of their own, from their own first sample.
    """

    spec: BundleSpec
    statistics: Statistics
    training: Part
    training_seeg: Floats
    held_out_seeg: Floats
    held_out_mel: Floats
    held_out_start_s: float


def prepare(recording: Recording, settings: ExperimentSettings) -> Prepared:
    """Split by whole trials, fit the front end on the training part, cut mel targets.

    Raises
    ------
    SettingsError, RecordingError
        If the recording is too short to hold anything out, or a band does not fit its rate.
    """
    split = split_trials(recording, settings.test_fraction)
    clock = HopClock(recording.fs)
    spec = BundleSpec(
        name=settings.name,
        contacts=recording.labels,
        fs_hz=recording.fs,
        stride=clock.stride,
        front_end=settings.front_end,
        network=settings.network,
        target_lookahead=settings.target_lookahead,
    )
    audio = audio_at(recording, RATE)
    train, test = recording.seeg[split.train], recording.seeg[split.test]
    unscaled = FrontEnd(spec.front_end, spec.contacts, spec.fs_hz)
    statistics = fit_statistics(unscaled, [train])
    front_end = FrontEnd(spec.front_end, spec.contacts, spec.fs_hz, statistics)
    features = np.concatenate(
        [front_end.step(train[i : i + _BLOCK]) for i in range(0, len(train), _BLOCK)]
    )
    return Prepared(
        spec=spec,
        statistics=statistics,
        training=Part(features, _mel(audio, split.train.start, len(train), clock), clock),
        training_seeg=train,
        held_out_seeg=test,
        held_out_mel=_mel(audio, split.test.start, len(test), clock),
        held_out_start_s=float(split.test.start / recording.fs),
    )


def _mel(audio: Floats, first_sample: int, samples: int, clock: HopClock) -> Floats:
    start = round(Fraction(first_sample) / clock.fs * RATE)
    return log_mel(audio[start:], clock.hops_in(samples))
