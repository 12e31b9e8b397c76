"""Ridge regression (Hoerl & Kennard 1970); its penalty is chosen on training data alone.

Either by contiguous inner folds with a gap, or by generalised cross-validation (Golub, Heath &
Wahba 1979, eq. 1.4). The second takes frames for independent; frames 15 ms apart share most of
their samples, so it chooses too small a penalty and is here for comparison.

Everything goes through sums of products, so a fold costs no second pass over the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from models.errors import SettingsError
from models.spec import Model
from training.baselines.envelopes import Doubles, Floats, Reals

_BLOCK = 4096


class RidgeSettings(Model):
    """How the penalty is chosen; penalties are in units of a z-scored feature's variance."""

    choose: Literal["folds", "gcv"] = "folds"
    folds: int = Field(5, ge=2, description="contiguous inner folds")
    least: float = Field(1e-4, gt=0)
    most: float = Field(1e2, gt=0)
    penalties: int = Field(13, ge=1, description="tried, evenly spaced on a logarithmic scale")

    @property
    def grid(self) -> Doubles:
        """The penalties that are tried."""
        return np.geomspace(self.least, self.most, self.penalties)


@dataclass(frozen=True)
class Moments:
    """Sums over frames: count, x, y, x x', x y', and y squared."""

    count: float
    x: Doubles
    y: Doubles
    xx: Doubles
    xy: Doubles
    yy: Doubles

    @classmethod
    def of(cls, x: Floats, y: Reals) -> Moments:
        """Sums of `(frames, inputs)` and `(frames, outputs)`, in double precision."""
        inputs, outputs = x.shape[1], y.shape[1]
        xx, xy = np.zeros((inputs, inputs)), np.zeros((inputs, outputs))
        sums, squares = np.zeros(inputs), np.zeros(outputs)
        for start in range(0, len(x), _BLOCK):
            a = x[start : start + _BLOCK].astype(np.float64)
            b = np.asarray(y[start : start + _BLOCK], np.float64)
            xx += a.T @ a
            xy += a.T @ b
            sums += a.sum(axis=0)
            squares += np.square(b).sum(axis=0)
        return cls(float(len(x)), sums, y.sum(axis=0, dtype=np.float64), xx, xy, squares)

    def plus(self, other: Moments, sign: float = 1.0) -> Moments:
        """Sums over the frames of both; with `sign` -1, without the other's."""
        return Moments(
            self.count + sign * other.count,
            self.x + sign * other.x,
            self.y + sign * other.y,
            self.xx + sign * other.xx,
            self.xy + sign * other.xy,
            self.yy + sign * other.yy,
        )


@dataclass(frozen=True)
class _Axes:
    """Z-scored features turned into their principal axes."""

    mean: Doubles
    target: Doubles
    count: float
    turn: Doubles
    """From principal axes to unscaled features, `(inputs, axes)`."""
    variance: Doubles
    product: Doubles
    """Mean product of axis and target, `(axes, outputs)`."""
    spread: Doubles
    """Variance of each target."""

    @classmethod
    def of(cls, sums: Moments) -> _Axes:
        mean, target = sums.x / sums.count, sums.y / sums.count
        covariance = sums.xx / sums.count - np.outer(mean, mean)
        product = sums.xy / sums.count - np.outer(mean, target)
        scale = np.sqrt(np.maximum(np.diag(covariance), 0))
        flat = scale <= 1e-9 * np.maximum(1.0, np.abs(mean))
        inverse = np.where(flat, 0.0, 1 / np.where(flat, 1.0, scale))
        variance, vectors = np.linalg.eigh(covariance * np.outer(inverse, inverse))
        turn = inverse[:, None] * vectors
        return cls(
            mean,
            target,
            sums.count,
            turn,
            np.maximum(variance, 0),
            vectors.T @ (inverse[:, None] * product),
            sums.yy / sums.count - target**2,
        )

    def solve(self, penalty: float) -> tuple[Doubles, Doubles]:
        """Weights `(inputs, outputs)` and intercept `(outputs,)` of unscaled features."""
        weights = self.turn @ (self.product / (self.variance + penalty)[:, None])
        return weights, self.target - self.mean @ weights

    def generalised_error(self, penalty: float) -> float:
        """Generalised cross-validation, mean over targets scaled to unit variance."""
        kept = (self.variance + 2 * penalty) / np.square(self.variance + penalty)
        residual = self.spread - np.sum(np.square(self.product) * kept[:, None], axis=0)
        freedom = 1 + float(np.sum(self.variance / (self.variance + penalty)))
        relative = residual / np.maximum(self.spread, 1e-12)
        return float(relative.mean() / (1 - freedom / self.count) ** 2)


@dataclass(frozen=True)
class Ridge:
    """Fitted weights `(inputs, outputs)`, intercept, and the penalty that was chosen."""

    weights: Floats
    intercept: Floats
    penalty: float

    @classmethod
    def fit(
        cls,
        parts: Sequence[tuple[Floats, Reals]],
        gap: int,
        settings: RidgeSettings | None = None,
    ) -> Ridge:
        """Fit contiguous parts of features `(frames, inputs)` and targets `(frames, outputs)`.

        Parameters
        ----------
        parts : each contiguous in time; inner folds are blocks of every part.
        gap : frames left out on both sides of an inner fold; at least the reach of a feature.

        Raises
        ------
        SettingsError
            If the parts are too short for the inner folds.
        """
        settings = settings or RidgeSettings()
        sums, errors = _search(parts, gap, settings)
        penalty = float(settings.grid[int(np.argmin(errors))])
        weights, intercept = _Axes.of(sums).solve(penalty)
        return cls(weights.astype(np.float32), intercept.astype(np.float32), penalty)

    def predict(self, x: Floats) -> Floats:
        """Targets for features, `(frames, outputs)`."""
        return (x @ self.weights + self.intercept).astype(np.float32)


def _search(
    parts: Sequence[tuple[Floats, Reals]], gap: int, settings: RidgeSettings
) -> tuple[Moments, Doubles]:
    """Sums over all training frames, and the error of each penalty."""
    if settings.choose == "gcv":
        sums = _total([Moments.of(x, y) for x, y in parts])
        axes = _Axes.of(sums)
        return sums, np.array([axes.generalised_error(p) for p in settings.grid])
    held, purged = zip(
        *(_fold(parts, fold, settings.folds, gap) for fold in range(settings.folds)), strict=True
    )
    sums = _total(held)
    unit = np.maximum(sums.yy / sums.count - (sums.y / sums.count) ** 2, 1e-12)
    errors = np.zeros(settings.penalties)
    for test, lost in zip(held, purged, strict=True):
        axes = _Axes.of(sums.plus(test, -1).plus(lost, -1))
        for i, penalty in enumerate(settings.grid):
            errors[i] += float(np.mean(_squared_error(test, *axes.solve(penalty)) / unit))
    return sums, errors


def _fold(
    parts: Sequence[tuple[Floats, Reals]], fold: int, folds: int, gap: int
) -> tuple[Moments, Moments]:
    """Sums over the inner fold, and over the frames beside it that are not trained on either."""
    held, lost = [], []
    for x, y in parts:
        edges = np.linspace(0, len(x), folds + 1).astype(int)
        first, last = int(edges[fold]), int(edges[fold + 1])
        if len(x) - (last - first) <= 2 * gap:
            raise SettingsError(
                f"{len(x)} training frames in one part",
                f"more than {2 * gap * folds // (folds - 1)} for {folds} inner folds",
                "record longer, or hold out less",
            )
        held.append(Moments.of(x[first:last], y[first:last]))
        sides = slice(max(0, first - gap), first), slice(last, last + gap)
        lost += [Moments.of(x[side], y[side]) for side in sides]
    return _total(held), _total(lost)


def _total(sums: Sequence[Moments]) -> Moments:
    first, *others = sums
    for other in others:
        first = first.plus(other)
    return first


def _squared_error(test: Moments, weights: Doubles, intercept: Doubles) -> Doubles:
    """Sum of squared errors of each target, `(outputs,)`."""
    fitted = np.sum(weights * (test.xx @ weights - 2 * test.xy), axis=0)
    constant = test.count * intercept**2 - 2 * intercept * test.y
    error: Doubles = test.yy + fitted + constant + 2 * intercept * (test.x @ weights)
    return error
