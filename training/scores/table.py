"""The table of a held-out part: predictions beside the lines that know no neural data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from models.errors import SettingsError
from training.scores.activity import fit_speech_threshold, speech_frames
from training.scores.arrays import Doubles, Mask, Mels
from training.scores.chance import Chance, retraining_chance, shift_chance, trial_chance
from training.scores.components import MelComponents
from training.scores.lines import (
    Cues,
    cue_locked_average,
    mean_spectrum,
    speech_silence_oracle,
)
from training.scores.sound import SoundScores

ORACLE, CUE_LOCKED, MEAN = "speech/silence oracle", "cue-locked average", "mean spectrum"
_REMARKS = {
    ORACLE: "true voice activity, no neural data",
    CUE_LOCKED: "true cues, no neural data",
    MEAN: "constant, r undefined: counted as 0",
}


@dataclass(frozen=True)
class ScoreLine:
    """Scores of one prediction; `note` says what is special about it.

    `chance_95` and `p` are by circular shift, those ending in `_trials` by exchanging trials, in
    `_retrained` by retraining on shifted neural data; None where that was not done. `_speech`:
    on speech frames only.
    """

    name: str
    mel_r: float
    chance_95: float
    p: float
    mel_r_speech: float
    chance_95_speech: float
    p_speech: float
    components_r: float
    note: str = ""
    chance_95_trials: float | None = None
    p_trials: float | None = None
    chance_95_speech_trials: float | None = None
    p_speech_trials: float | None = None
    chance_95_retrained: float | None = None
    p_retrained: float | None = None
    chance_95_speech_retrained: float | None = None
    p_speech_retrained: float | None = None
    retrainings: int = 0
    sound: SoundScores | None = None


@dataclass(frozen=True)
class ScoreTable:
    """Scores of a held-out part, a line per prediction, and what they rest on."""

    lines: tuple[ScoreLine, ...]
    frames: int
    speech_frames: int
    training_frames: int
    speech_threshold: float
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def line(self, name: str) -> ScoreLine:
        """The line of a prediction.

        Raises
        ------
        SettingsError
            If there is none of that name.
        """
        for line in self.lines:
            if line.name == name:
                return line
        raise SettingsError(f"no line '{name}'", ", ".join(line.name for line in self.lines))


def table_from_json(raw: Mapping[str, Any]) -> ScoreTable:
    """A table from what `as_json` gave."""
    return ScoreTable(**{**raw, "lines": tuple(_line_from_json(line) for line in raw["lines"])})


def _line_from_json(raw: Mapping[str, Any]) -> ScoreLine:
    sound = raw.get("sound")
    return ScoreLine(**{**raw, "sound": SoundScores(**sound) if sound else None})


@dataclass(frozen=True)
class Reference:
    """What a held-out part is scored against; all of it fitted on the training part.

    Parameters
    ----------
    truth : held-out mels, `(frames, 80)`.
    training : mels of the training part.
    threshold : mean log-mel above which a frame is speech.
    spoken : the truth's speech frames.
    components : whitened components of the training part.
    cues : where the trials' cues are, if they are known.
    """

    truth: Mels
    training: Mels
    threshold: float
    spoken: Mask
    components: MelComponents
    cues: Cues | None

    @classmethod
    def fit(cls, truth: Mels, training: Mels, cues: Cues | None = None) -> Reference:
        """Fit thresholds and components on training mels.

        Raises
        ------
        SettingsError
            If the held-out part holds too little speech, or the training part only one level.
        """
        threshold = fit_speech_threshold(training)
        spoken = speech_frames(truth, threshold)
        if spoken.sum() < 10:
            raise SettingsError(f"{int(spoken.sum())} speech frames are held out", "at least 10")
        return cls(truth, training, threshold, spoken, MelComponents.fit(training), cues)

    def without_neural_data(self) -> dict[str, Doubles]:
        """The predictions that know no neural data, by name, `(frames, 80)` each."""
        lines = {ORACLE: speech_silence_oracle(self.training, self.threshold, self.truth)}
        if self.cues is not None:
            lines[CUE_LOCKED] = cue_locked_average(
                self.training, self.cues.training, self.cues.held_out, len(self.truth)
            )
        return {**lines, MEAN: mean_spectrum(self.training, len(self.truth))}

    def line(self, name: str, mels: Mels, note: str = "") -> ScoreLine:
        """Score one prediction `(frames, 80)`; chance by shifts, and by trials if there are cues.

        Raises
        ------
        SettingsError
            If shapes differ, or the part is too short for chance.
        """
        everywhere = shift_chance(self.truth, mels)
        speech = shift_chance(self.truth, mels, self.spoken)
        made = ScoreLine(
            name,
            everywhere.observed,
            everywhere.limit_95,
            everywhere.p,
            speech.observed,
            speech.limit_95,
            speech.p,
            self.components.r(self.truth, mels),
            note or _REMARKS.get(name, ""),
        )
        if self.cues is None:
            return made
        nulls = (
            trial_chance(self.truth, mels, self.cues.held_out, mask) for mask in (None, self.spoken)
        )
        return replace(made, **_columns("trials", *nulls))

    def retrained(self, line: ScoreLine, mels: Mels, nulls: Sequence[Mels]) -> ScoreLine:
        """The line with chance by retraining; `nulls` as in `retraining_chance`."""
        found = (retraining_chance(self.truth, mels, nulls, mask) for mask in (None, self.spoken))
        return replace(line, **_columns("retrained", *found), retrainings=len(nulls))


def _columns(kind: str, everywhere: Chance, speech: Chance) -> dict[str, Any]:
    return {
        f"chance_95_{kind}": everywhere.limit_95,
        f"p_{kind}": everywhere.p,
        f"chance_95_speech_{kind}": speech.limit_95,
        f"p_speech_{kind}": speech.p,
    }


def score_table(
    truth: Mels,
    training: Mels,
    predictions: Mapping[str, Mels],
    notes: Mapping[str, str] | None = None,
    note: str = "",
    cues: Cues | None = None,
) -> ScoreTable:
    """Score predictions of a held-out part beside the lines that know no neural data.

    Parameters
    ----------
    truth : held-out mels, `(frames, 80)`.
    training : mels of the training part; thresholds, templates and components come from it.
    predictions : name to mels of the truth's shape.
    notes : remark on a prediction, by name.
    cues : with them, the cue-locked average and chance by exchanging trials.

    Raises
    ------
    SettingsError
        If shapes differ, or the held-out part is too short or holds too little speech.
    """
    reference = Reference.fit(truth, training, cues)
    every = {**predictions, **reference.without_neural_data()}
    lines = [
        reference.line(name, mels, (notes or {}).get(name, "")) for name, mels in every.items()
    ]
    return table_of(reference, lines, note)


def table_of(reference: Reference, lines: Sequence[ScoreLine], note: str = "") -> ScoreTable:
    """The table of lines scored against a reference."""
    return ScoreTable(
        tuple(lines),
        len(reference.truth),
        int(reference.spoken.sum()),
        len(reference.training),
        reference.threshold,
        note,
    )
