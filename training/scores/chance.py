"""Chance, three ways: the prediction shifted, its trials deranged, the decoder retrained.

p = (1 + number as good) / (1 + n): the observation counts as one of its own null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from models.errors import SettingsError
from models.hops import HOP
from training.scores.arrays import Doubles, Mask, Mels, same_shape
from training.scores.pearson import FLAT, mel_r

Order = NDArray[np.int64]

SHIFT_S = 5.0
_EQUAL = 1e-9


@dataclass(frozen=True)
class Chance:
    """A null distribution and where the observed score falls in it."""

    observed: float
    null: Doubles
    limit_95: float
    p: float

    @classmethod
    def of(cls, observed: float, null: Sequence[float] | Doubles) -> Chance:
        """Place an observed score in a null distribution `(n,)`."""
        values = np.asarray(null, np.float64)
        # Equal but for rounding is as good: exchanging equal trials changes nothing.
        p = (1 + int(np.sum(values >= observed - _EQUAL))) / (1 + len(values))
        return cls(observed, values, float(np.quantile(values, 0.95)), p)


# --- the prediction shifted ---------------------------------------------------------------------


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
    same_shape(truth, prediction)
    least = ceil(least_s / hop_s)
    if len(truth) < 2 * least + 1:
        raise SettingsError(
            f"{len(truth) * hop_s:.1f} s are held out",
            f"more than {2 * least_s:g} s for chance by shifting",
            "hold out a larger part or record longer",
        )
    mask = np.ones(len(truth), bool) if frames is None else frames
    every = _shifted_r(np.asarray(truth, np.float64), np.asarray(prediction, np.float64), mask)
    return Chance.of(mel_r(truth, prediction, frames), every[least : len(truth) - least + 1])


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
    return _mean_r(cross, np.sum(a * a, axis=0), against(weight, b), against(weight, b * b), count)


def _mean_r(
    cross: Doubles, power: Doubles, first: Doubles, second: Doubles, count: float
) -> Doubles:
    """Mean over bins of r, `(nulls,)`, from sums over the frames that are scored.

    `cross` `(nulls, bins)`: centred truth times prediction; `power` `(bins,)`: of centred truth;
    `first`, `second`: of the prediction and its square.
    """
    product = power * np.maximum(second - first * first / count, 0)
    flat = product <= (FLAT**2 * count) ** 2
    r: Doubles = np.where(flat, 0, cross / np.sqrt(np.where(flat, 1, product))).mean(axis=1)
    return r


# --- trials deranged ----------------------------------------------------------------------------

DRAWS = 1000
_FEWEST_TRIALS = 4


def trial_chance(
    truth: Mels,
    prediction: Mels,
    cues: Sequence[int],
    frames: Mask | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Chance:
    """Correlation with the predictions of trials exchanged, each kept at its time in the trial.

    A trial lasts from its cue to the next. In a draw every trial gets the prediction of another
    (a derangement), aligned by cue; where the donor's trial is shorter, what followed it runs on.
    What timing in the trial explains therefore stays in the null. Frames before the first cue are
    left out, of the observed score too.

    Parameters
    ----------
    cues : frame of each trial's cue.
    frames : mask of the truth's frames to score.

    Raises
    ------
    SettingsError
        If fewer than four trials, or three frames, are left.
    """
    same_shape(truth, prediction)
    starts = sorted({cue for cue in cues if 0 <= cue < len(truth)})
    if len(starts) < _FEWEST_TRIALS:
        raise SettingsError(
            f"{len(starts)} trials are held out",
            f"at least {_FEWEST_TRIALS} for chance by exchanging trials",
            "hold out a larger part",
        )
    mask = np.ones(len(truth), bool) if frames is None else frames.copy()
    mask[: starts[0]] = False
    observed = mel_r(truth, prediction, mask)
    sums = _exchange(
        np.asarray(truth, np.float64), np.asarray(prediction, np.float64), mask, starts
    )
    orders = _derangements(len(starts), draws, seed)
    cross, first, second = (_chosen(table, orders) for table in sums[:3])
    return Chance.of(observed, _mean_r(cross, sums[3], first, second, float(mask.sum())))


def _exchange(
    truth: Doubles, prediction: Doubles, mask: Mask, starts: list[int]
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """For each trial (row) and donor (column) the sums of `_mean_r`, `(trials, trials, bins)`."""
    centred = (truth - truth[mask].mean(axis=0)) * mask[:, None]
    # Against rounding only: r does not depend on it.
    moved = prediction - prediction[mask].mean(axis=0)
    stops = [*starts[1:], len(truth)]
    sums = np.empty((3, len(starts), len(starts), truth.shape[1]))
    for i, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        kept = np.flatnonzero(mask[start:stop])
        own = centred[start + kept]
        for j, donor in enumerate(starts):
            given = moved[(donor + kept) % len(moved)]
            sums[:, i, j] = (own * given).sum(0), given.sum(0), (given * given).sum(0)
    return sums[0], sums[1], sums[2], np.sum(centred * centred, axis=0)


def _derangements(count: int, draws: int, seed: int) -> list[Order]:
    """Random permutations that move every element (a share 1/e of all), by rejection."""
    rng, own = np.random.default_rng(seed), np.arange(count)
    found: list[Order] = []
    while len(found) < draws:
        order = rng.permutation(count)
        if not np.any(order == own):
            found.append(order)
    return found


def _chosen(table: Doubles, orders: list[Order]) -> Doubles:
    own = np.arange(len(table))
    return np.stack([table[own, order].sum(axis=0) for order in orders])


# --- the decoder retrained ----------------------------------------------------------------------


def retraining_places(runs: int, seed: int = 0) -> list[float]:
    """How far to roll the neural side against the audio: places from 0 to 1, evenly spread.

    0 stands for a shift of 5 s, 1 for one of 5 s the other way round the circle.
    """
    places = (np.arange(runs) + np.random.default_rng(seed).random()) / max(runs, 1)
    return [float(place) for place in places]


def retraining_chance(
    truth: Mels, prediction: Mels, nulls: Sequence[Mels], frames: Mask | None = None
) -> Chance:
    """Where the observed score falls among those of decoders trained on shifted neural data.

    Parameters
    ----------
    nulls : a prediction `(frames, 80)` or longer per retraining.

    Raises
    ------
    SettingsError
        If there is none.
    """
    if not nulls:
        raise SettingsError("no decoder was retrained", "at least one")
    # A network streamed with look-ahead gives fewer frames than one decoded at once.
    null = [mel_r(truth, made[: len(truth)], frames) for made in nulls]
    return Chance.of(mel_r(truth, prediction, frames), null)
