"""From a recording to a training part and a held-out part, nothing of the second in the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from models.errors import RecordingError, SettingsError
from models.frontend import Statistics
from models.hops import HopClock
from models.mel import RATE, log_mel
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.recordings import Recording, audio_at
from training.features import FeatureStore
from training.scores import fit_speech_threshold, split_trials
from training.settings import ExperimentSettings
from training.stretches import Part


@dataclass(frozen=True)
class Prepared:
    """What training and scoring need; sEEG in microvolts `(samples, contacts)`, mel `(hops, 80)`.

    All parts stand on hop grids of their own, from their own first sample.
    """

    spec: BundleSpec
    statistics: Statistics
    training: Part
    training_seeg: Floats
    held_out_seeg: Floats
    held_out_mel: Floats
    held_out_start_s: float
    validation: Part | None = None


@dataclass(frozen=True)
class Parts:
    """Training and validation parts, and the statistics of the training parts."""

    spec: BundleSpec
    statistics: Statistics
    training: tuple[Part, ...]
    validation: tuple[Part, ...] = ()


def prepare(
    recording: Recording, settings: ExperimentSettings, cache: Path | None = None
) -> Prepared:
    """Split by whole trials, fit the front end on the training part, cut mel targets.

    Parameters
    ----------
    recording : sEEG and speech.
    settings : of the experiment.
    cache : folder of kept features; none computes them in memory.

    Raises
    ------
    SettingsError, RecordingError
        If the recording is too short to hold anything out, has no trials, speech or good contact
        in its training part, or a band does not fit its rate.
    """
    _check(recording)
    split = split_trials(recording, settings.test_fraction, settings.validation.fraction)
    audio = audio_at(recording, RATE)
    validation = [] if split.validation is None else [split.validation]
    parts = prepare_parts(recording, settings, [split.train], validation, cache, audio)
    test = recording.seeg[split.test]
    return Prepared(
        spec=parts.spec,
        statistics=parts.statistics,
        training=parts.training[0],
        training_seeg=recording.seeg[split.train],
        held_out_seeg=test,
        held_out_mel=cut_mel(audio, split.test.start, len(test), parts.spec.clock),
        held_out_start_s=float(split.test.start / recording.fs),
        validation=parts.validation[0] if parts.validation else None,
    )


def prepare_parts(
    recording: Recording,
    settings: ExperimentSettings,
    training: Sequence[slice],
    validation: Sequence[slice] = (),
    cache: Path | None = None,
    audio: Floats | None = None,
) -> Parts:
    """Features and targets of any spans of sEEG samples, for folds; each span its own run.

    Parameters
    ----------
    training, validation : spans of sEEG samples; statistics come from the first alone.
    audio : `audio_at(recording, 22 050)`, if at hand.

    Raises
    ------
    RecordingError
        As `prepare`.
    """
    _check(recording)
    audio = audio_at(recording, RATE) if audio is None else audio
    spec = bundle_spec(recording, settings)
    mels = [_mel_of(audio, span, spec) for span in training]
    _check_speech(mels)
    store = FeatureStore(spec, cache)
    statistics = store.statistics([recording.seeg[span] for span in training])
    _check_contacts(statistics)

    def parts(spans: Sequence[slice], mels: Sequence[Floats]) -> tuple[Part, ...]:
        return tuple(
            Part(store.features(recording.seeg[span], statistics), mel, spec.clock)
            for span, mel in zip(spans, mels, strict=True)
        )

    checked = [_mel_of(audio, span, spec) for span in validation]
    return Parts(spec, statistics, parts(training, mels), parts(validation, checked))


def bundle_spec(recording: Recording, settings: ExperimentSettings) -> BundleSpec:
    """The spec of a bundle that settings make of a recording."""
    return BundleSpec(
        name=settings.name,
        contacts=recording.labels,
        fs_hz=recording.fs,
        stride=HopClock(recording.fs).stride,
        front_end=settings.front_end,
        network=settings.network,
        target_lookahead=settings.target_lookahead,
    )


def cut_mel(audio: Floats, first_sample: int, samples: int, clock: HopClock) -> Floats:
    """Mel `(hops, 80)` of the hops of a part that starts at an sEEG sample."""
    start = round(Fraction(first_sample) / clock.fs * RATE)
    return log_mel(audio[start:], clock.hops_in(samples))


def _mel_of(audio: Floats, span: slice, spec: BundleSpec) -> Floats:
    return cut_mel(audio, span.start, span.stop - span.start, spec.clock)


def _check(recording: Recording) -> None:
    if not recording.trials:
        raise RecordingError(
            f"{recording.path} has no trials",
            "trials, so that whole ones can be held out",
            "give it an events.tsv, a Stimulus series or markers",
        )
    if not np.isfinite(recording.audio).all():
        bad = int(np.count_nonzero(~np.isfinite(recording.audio)))
        raise RecordingError(
            f"{bad} of {len(recording.audio)} audio samples of {recording.path} are not finite",
            "finite audio, from which targets are made",
            "repair the audio channel; silence will do where nothing was said",
        )


def _check_speech(mels: Sequence[Floats]) -> None:
    if not any(len(mel) for mel in mels):
        raise RecordingError(
            "the training part is shorter than one hop",
            "at least one stretch",
            "record longer, or hold out less",
        )
    try:
        fit_speech_threshold(np.concatenate(list(mels)))
    except SettingsError as err:
        raise RecordingError(
            f"no speech in the training part ({err.found})",
            "audio that is sometimes speech and sometimes silence",
            "check that the audio channel is the microphone's and was not muted",
        ) from err


def _check_contacts(statistics: Statistics) -> None:
    if np.all((statistics.mean == 0) & (statistics.std == 1)):
        raise RecordingError(
            "every contact is masked throughout the training part (flat, saturated or not finite)",
            "contacts with a signal",
            "check the recording's unit, and front_end.guard and front_end.bad_contacts",
        )
