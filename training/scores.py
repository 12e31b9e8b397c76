"""Honest scores of predicted log-mel frames: what is right, what silence alone would give, chance.

Arrays are `(frames, 80)` natural-log mels on the 15 ms hop grid, truth and prediction alike. All
functions are pure. What must be fitted (voice activity, templates, principal components) is fitted
on training truth and passed in. There is no option to shuffle frames: neighbouring frames are near
copies, and on a patient without any signal a shuffled split scores 0.98.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from models.errors import SettingsError
from models.hops import HOP
from realtime.recordings import Recording

Mels = NDArray[np.floating]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

SHIFT_S, GUARD_S = 5.0, 0.5
COMPONENTS = 50
_FLAT = 1e-6


def correlation(truth: Mels, prediction: Mels) -> Doubles:
    """Pearson r over time of each column, `(columns,)`; 0 where a column is constant.

    A constant prediction carries no information on time; its r is undefined and counts as 0.
    """
    a = np.asarray(truth, np.float64) - np.mean(truth, axis=0, dtype=np.float64)
    b = np.asarray(prediction, np.float64) - np.mean(prediction, axis=0, dtype=np.float64)
    power = np.sum(a * a, axis=0) * np.sum(b * b, axis=0)
    flat = (a.std(axis=0) < _FLAT) | (b.std(axis=0) < _FLAT)
    r: Doubles = np.sum(a * b, axis=0) / np.sqrt(np.where(flat, 1.0, power))
    r[flat] = 0
    return r


def mel_r(truth: Mels, prediction: Mels, frames: Mask | None = None) -> float:
    """Mean over bins of the correlation over time, of all frames or those of a mask.

    Raises
    ------
    SettingsError
        If the shapes differ or fewer than three frames are left.
    """
    _same_shape(truth, prediction)
    if frames is not None:
        truth, prediction = truth[frames], prediction[frames]
    if len(truth) < 3:
        raise SettingsError(f"{len(truth)} frames are left to score", "at least 3")
    return float(correlation(truth, prediction).mean())


# --- voice activity -----------------------------------------------------------------------------


def fit_speech_threshold(training: Mels) -> float:
    """Mean log-mel above which a frame is speech: Otsu's threshold (1979) on training truth.

    Raises
    ------
    SettingsError
        If the training truth has no two levels to tell apart.
    """
    level = np.asarray(training, np.float64).mean(axis=1)
    counts, edges = np.histogram(level, 256)
    if level.max() - level.min() < 0.1:
        raise SettingsError("the training audio has one level only", "speech and silence")
    middle = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts)[:-1], counts.sum()
    sums = np.cumsum(counts * middle)
    means = sums[:-1] / np.maximum(below, 1), (sums[-1] - sums[:-1]) / np.maximum(total - below, 1)
    between = below * (total - below) * np.square(means[1] - means[0])
    return float(edges[1 + int(np.argmax(between))])


def speech_frames(mels: Mels, threshold: float) -> Mask:
    """Frames whose mean log-mel exceeds the threshold, `(frames,)`."""
    active: Mask = np.asarray(mels, np.float64).mean(axis=1) > threshold
    return active


# --- whitened components ------------------------------------------------------------------------


@dataclass(frozen=True)
class MelComponents:
    """Principal components of training mels: `mean` `(80,)`, `basis` `(80, components)`."""

    mean: Doubles
    basis: Doubles

    @classmethod
    def fit(cls, training: Mels, components: int = COMPONENTS) -> MelComponents:
        """Components of largest variance, scaled to unit variance (whitened)."""
        mean = np.asarray(training, np.float64).mean(axis=0)
        centred = np.asarray(training, np.float64) - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
        order = np.argsort(values)[::-1][:components]
        return cls(mean, vectors[:, order] / np.sqrt(np.maximum(values[order], 1e-12)))

    def r(self, truth: Mels, prediction: Mels) -> float:
        """Mean over components of the correlation over time: all count equally."""
        return mel_r((truth - self.mean) @ self.basis, (prediction - self.mean) @ self.basis)


# --- lines without neural data ------------------------------------------------------------------


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


# --- chance -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chance:
    """A null distribution and where the observed score falls in it."""

    observed: float
    null: Doubles
    limit_95: float
    p: float


def shift_chance(
    truth: Mels,
    prediction: Mels,
    frames: Mask | None = None,
    least_s: float = SHIFT_S,
    hop_s: float = float(HOP),
) -> Chance:
    """Correlation with the prediction shifted circularly, by every shift of 5 s and more.

    All shifts are taken (by Fourier transform), so nothing is drawn at random. Neighbouring shifts
    resemble each other, and paced speech makes the null wide: that is the point of it.

    Parameters
    ----------
    frames : mask of the truth's frames to score; it stays where it is while the prediction moves.

    Raises
    ------
    SettingsError
        If the part is shorter than twice the least shift.
    """
    _same_shape(truth, prediction)
    least = ceil(least_s / hop_s)
    if len(truth) < 2 * least + 1:
        raise SettingsError(
            f"{len(truth) * hop_s:.1f} s are held out",
            f"more than {2 * least_s:g} s for chance by shifting",
            "hold out a larger part or record longer",
        )
    mask = np.ones(len(truth), bool) if frames is None else frames
    every = _shifted_r(np.asarray(truth, np.float64), np.asarray(prediction, np.float64), mask)
    null = every[least : len(truth) - least + 1]
    observed = mel_r(truth, prediction, frames)
    p = (1 + int(np.sum(null >= observed))) / (1 + len(null))
    return Chance(observed, null, float(np.quantile(null, 0.95)), p)


def _shifted_r(truth: Doubles, prediction: Doubles, mask: Mask) -> Doubles:
    """Mean r over bins for every circular shift of the prediction, `(frames,)`."""
    n, weight = len(truth), mask.astype(np.float64)[:, None]
    count = float(weight.sum())
    mean = (truth * weight).sum(axis=0) / count
    a = (truth - mean) * weight
    b = prediction - prediction.mean(axis=0)

    def against(left: Doubles, right: Doubles) -> Doubles:
        """sum_t left[t] * right[t - shift] for every shift."""
        out: Doubles = irfft(rfft(left, axis=0) * np.conj(rfft(right, axis=0)), n=n, axis=0)
        return out

    cross = against(a, b)
    first, second = against(weight, b), against(weight, b * b)
    spread = np.maximum(second - first * first / count, 0)
    power = np.sum(a * a, axis=0) * spread
    flat = power <= (_FLAT**2 * count) ** 2
    r = np.where(flat, 0, cross / np.sqrt(np.where(flat, 1, power)))
    mean_r: Doubles = r.mean(axis=1)
    return mean_r


# --- splits -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Contiguous parts of a recording as slices of sEEG samples."""

    train: slice
    validation: slice | None
    test: slice


def split_trials(
    recording: Recording,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
    guard_s: float = GUARD_S,
) -> Split:
    """Hold out the last whole trials, and before them, if asked, a validation part.

    Parts are contiguous and at least `guard_s` apart; no trial is cut. Frames are never shuffled:
    there is no option for it.

    Raises
    ------
    SettingsError
        If the fractions leave a part without a trial, or the guard is under 0.5 s.
    """
    if guard_s < GUARD_S:
        raise SettingsError(f"a guard of {guard_s} s", f"at least {GUARD_S} s (window and context)")
    trials, count = recording.trials, len(recording.trials)
    test = ceil(count * test_fraction)
    validation = ceil(count * validation_fraction)
    first = count - test - validation
    if test_fraction <= 0 or validation_fraction < 0 or first < 1:
        raise SettingsError(
            f"{count} trials with {test_fraction:g} for testing and {validation_fraction:g} "
            "for validation",
            "at least one trial in every part",
            "record longer or hold out less",
        )
    edges = [0.0, *(trials[i].onset_s for i in (first, count - test) if i < count)]
    test_start = trials[count - test].onset_s
    train_stop = _stop_before(recording, edges[1], guard_s)
    held = slice(_sample(recording, test_start), len(recording.seeg))
    middle = None
    if validation:
        stop = _stop_before(recording, test_start, guard_s)
        middle = slice(_sample(recording, edges[1]), _sample(recording, stop))
    return Split(slice(0, _sample(recording, train_stop)), middle, held)


def _stop_before(recording: Recording, onset_s: float, guard_s: float) -> float:
    """Where a part ends: a guard before the next onset, without cutting a trial."""
    stop = onset_s - guard_s
    cut = [t.onset_s for t in recording.trials if t.onset_s < stop < t.onset_s + t.duration_s]
    return min([stop, *cut])


def _sample(recording: Recording, seconds: float) -> int:
    return max(0, ceil(seconds * recording.fs))


# --- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreLine:
    """Scores of one prediction; `note` says what is special about it."""

    name: str
    mel_r: float
    chance_95: float
    p: float
    mel_r_speech: float
    chance_95_speech: float
    p_speech: float
    components_r: float
    note: str = ""


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


def table_from_json(raw: Mapping[str, Any]) -> ScoreTable:
    """A table from what `as_json` gave."""
    return ScoreTable(**{**raw, "lines": tuple(ScoreLine(**line) for line in raw["lines"])})


def score_table(
    truth: Mels,
    training: Mels,
    predictions: Mapping[str, Mels],
    notes: Mapping[str, str] | None = None,
    note: str = "",
) -> ScoreTable:
    """Score predictions of a held-out part beside the lines that know no neural data.

    Parameters
    ----------
    truth : held-out mels, `(frames, 80)`.
    training : mels of the training part; thresholds, templates and components come from it.
    predictions : name to mels of the truth's shape.
    notes : remark on a prediction, by name.

    Raises
    ------
    SettingsError
        If shapes differ, or the held-out part is too short or holds too little speech.
    """
    threshold = fit_speech_threshold(training)
    spoken = speech_frames(truth, threshold)
    if spoken.sum() < 10:
        raise SettingsError(f"{int(spoken.sum())} speech frames are held out", "at least 10")
    components = MelComponents.fit(training)
    every = {
        **predictions,
        "speech/silence oracle": speech_silence_oracle(training, threshold, truth),
        "mean spectrum": mean_spectrum(training, len(truth)),
    }
    remarks = {
        "speech/silence oracle": "true voice activity, no neural data",
        "mean spectrum": "constant, r undefined: counted as 0",
        **(notes or {}),
    }
    lines = tuple(
        _line(name, truth, mels, spoken, components, remarks.get(name, ""))
        for name, mels in every.items()
    )
    return ScoreTable(lines, len(truth), int(spoken.sum()), len(training), threshold, note)


def _line(
    name: str, truth: Mels, mels: Mels, spoken: Mask, components: MelComponents, note: str
) -> ScoreLine:
    everywhere, speech = shift_chance(truth, mels), shift_chance(truth, mels, spoken)
    return ScoreLine(
        name,
        everywhere.observed,
        everywhere.limit_95,
        everywhere.p,
        speech.observed,
        speech.limit_95,
        speech.p,
        components.r(truth, mels),
        note,
    )


def format_table(table: ScoreTable) -> str:
    """The table as text, columns aligned."""
    width = max(len(line.name) for line in table.lines)
    head = f"{'':{width}}  mel r  95 % ch.       p | speech r  95 % ch.       p | PC50 r"
    rows = [
        f"{x.name:{width}}  {x.mel_r:5.3f}  {x.chance_95:8.3f}  {x.p:6.4f} | "
        f"{x.mel_r_speech:8.3f}  {x.chance_95_speech:8.3f}  {x.p_speech:6.4f} | "
        f"{x.components_r:6.4f}" + (f"  {x.note}" if x.note else "")
        for x in table.lines
    ]
    size = (
        f"{table.frames} frames held out, {table.speech_frames} of them speech; "
        f"{table.training_frames} for training"
    )
    return "\n".join([head, *rows, size, *([table.note] if table.note else [])])


def _same_shape(truth: Mels, prediction: Mels) -> None:
    if truth.shape != prediction.shape:
        raise SettingsError(
            f"truth has shape {truth.shape}, the prediction {prediction.shape}", "the same shape"
        )
