"""Folds of one recording: everything fitted anew for each, and intervals over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.errors import SettingsError
from models.mel import RATE
from realtime.recordings import Recording, audio_at
from training.contamination import without_contaminated
from training.evaluate import (
    Evaluation,
    EvaluationSettings,
    evaluate_held_out,
    training_contamination,
)
from training.fit import fit
from training.folds import Fold, FoldSettings, make_folds, needed_guard_s
from training.held_out import HeldOut, held_out_fold
from training.package import Trained
from training.prepare import bundle_spec
from training.scores import UNITS, Interval, ScoreLine, interval
from training.settings import ExperimentSettings
from training.streamed import network_of

MEASURES = ("mel_r", "mel_r_speech", "components_r")
SOUND_MEASURES = (
    *("stoi", "estoi", "mcd_db", "mcd_dtw_db"),
    *("voicing_error", "voicing_error_speech", "log_f0_r"),
)
CHANCES = ("p", "p_speech", "p_trials", "p_speech_trials", "p_retrained", "p_speech_retrained")


@dataclass(frozen=True)
class CrossValidation:
    """All folds of a recording, in order of time."""

    folds: tuple[Evaluation, ...]
    guard_s: float
    excluded: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Predictions, in the order of the tables."""
        return tuple(line.name for line in self.folds[0].table.lines)

    def lines(self, name: str) -> list[ScoreLine]:
        """The lines of a prediction, one per fold."""
        return [fold.table.line(name) for fold in self.folds]

    def intervals(self, name: str) -> dict[str, Interval | None]:
        """Mean and 95 % confidence interval over folds of every measure of a prediction."""
        lines = self.lines(name)
        return {measure: interval(_known(lines, measure)) for measure in _measures(lines)}

    def differences(self, name: str) -> dict[str, dict[str, Interval | None]]:
        """Paired differences over folds, `name` less every other prediction: name to measure."""
        mine = self.lines(name)
        return {
            other: {
                measure: interval(
                    [
                        getattr(a, measure) - getattr(b, measure)
                        for a, b in zip(mine, self.lines(other), strict=True)
                    ]
                )
                for measure in MEASURES
            }
            for other in self.names
            if other != name
        }

    def above_chance(self, name: str) -> dict[str, int]:
        """In how many folds p < .05, for each kind of chance that was tried."""
        lines = self.lines(name)
        tried = [kind for kind in CHANCES if getattr(lines[0], kind) is not None]
        return {kind: sum(getattr(line, kind) < 0.05 for line in lines) for kind in tried}

    def as_json(self) -> dict[str, Any]:
        """Plain values: every fold's, and the intervals."""
        first = self.names[0]
        return {
            "unit": UNITS,
            "guard_s": self.guard_s,
            "excluded_contacts": [list(names) for names in self.excluded],
            "summary": {name: _plain(self.intervals(name)) for name in self.names},
            "above_chance_folds": {name: self.above_chance(name) for name in self.names},
            "differences": {
                "of": first,
                "from": {other: _plain(d) for other, d in self.differences(first).items()},
            },
            "folds": [fold.as_json() for fold in self.folds],
        }


def cross_validate(
    recording: Recording,
    experiment: ExperimentSettings,
    folds: FoldSettings,
    settings: EvaluationSettings,
    *,
    network: bool = True,
    exclude_contaminated: bool = False,
    progress: bool = False,
    told: Callable[[int, Evaluation], None] = lambda i, found: None,
) -> CrossValidation:
    """Train and score every fold; nothing is carried from one to the next.

    Parameters
    ----------
    experiment : what to train; its `validation.fraction` holds for the folds too.
    network : False scores the baselines alone.
    exclude_contaminated : give up the contacts that the acoustic check of the fold's training
        parts names.
    told : called with each fold's number and result when it is done.

    Raises
    ------
    SettingsError, RecordingError
        If the recording has too few trials, or a fold is too short.
    """
    guard = needed_guard_s(bundle_spec(recording, experiment), folds.guard_s)
    if fraction := experiment.validation.fraction:
        folds = folds.model_copy(update={"validation_fraction": fraction})
    audio = audio_at(recording, RATE)
    found: list[Evaluation] = []
    excluded: list[tuple[str, ...]] = []
    for i, fold in enumerate(make_folds(recording, folds, guard)):
        held = held_out_fold(recording, experiment, fold, audio=audio)
        lost: tuple[str, ...] = ()
        if exclude_contaminated:
            held, lost = _without_contaminated(recording, experiment, fold, held)
        found.append(_scored(held, experiment, settings, network, progress))
        excluded.append(lost)
        told(i, found[-1])
    return CrossValidation(tuple(found), guard, tuple(excluded))


def _without_contaminated(
    recording: Recording, experiment: ExperimentSettings, fold: Fold, held: HeldOut
) -> tuple[HeldOut, tuple[str, ...]]:
    check = training_contamination(held)
    if not check.exclude:
        return held, ()
    front_end = without_contaminated(experiment.front_end, check)
    if len(front_end.bad_contacts) >= len(recording.labels):
        raise SettingsError(
            "every contact is contaminated with sound", "contacts to decode from", ""
        )
    changed = experiment.model_copy(update={"front_end": front_end})
    return held_out_fold(recording, changed, fold), check.exclude


def _scored(
    held: HeldOut,
    experiment: ExperimentSettings,
    settings: EvaluationSettings,
    network: bool,
    progress: bool,
) -> Evaluation:
    if not network:
        return evaluate_held_out(held, None, settings)
    fitted = fit(
        list(held.training), held.spec, experiment, progress, validation=list(held.validation)
    )
    with network_of(Trained(held.spec, fitted.network, held.statistics)) as decoder:
        return evaluate_held_out(held, decoder, settings, experiment)


def _measures(lines: Sequence[ScoreLine]) -> tuple[str, ...]:
    return MEASURES if lines[0].sound is None else (*MEASURES, *SOUND_MEASURES)


def _known(lines: Sequence[ScoreLine], measure: str) -> list[float]:
    """A measure of every line that has it: pitch may be undefined in a fold."""
    values = [getattr(line if measure in MEASURES else line.sound, measure) for line in lines]
    return [value for value in values if value is not None]


def _plain(found: Mapping[str, Interval | None]) -> dict[str, Any]:
    return {name: None if x is None else asdict(x) for name, x in found.items()}


def format_folds(found: CrossValidation) -> str:
    """Means and 95 % confidence intervals over folds as text."""
    width = max(map(len, found.names))
    sound = found.folds[0].table.lines[0].sound is not None
    kinds = (*MEASURES, *(("stoi", "estoi", "mcd_db", "mcd_dtw_db") if sound else ()))
    heads = {"mel_r": "mel r", "mel_r_speech": "speech r", "components_r": "PC50 r"}
    head = "  ".join(f"{heads.get(k, k):>21}" for k in kinds)
    rows = []
    for name in found.names:
        intervals = found.intervals(name)
        cells = "  ".join(f"{_cell(intervals[kind]):>21}" for kind in kinds)
        rows.append(f"{name:{width}}  {cells}")
    folds = f"{len(found.folds)} contiguous folds of whole trials, {found.guard_s:g} s apart"
    return "\n".join([f"{'':{width}}  {head}", *rows, f"{folds}: mean [95 % interval]", UNITS])


def _cell(x: Interval | None) -> str:
    return "-" if x is None else f"{x.mean:.3f} [{x.low:.3f} {x.high:.3f}]"
