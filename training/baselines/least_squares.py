"""Ordinary least squares on principal components: the frozen linear baseline. Do not tune it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.baselines.envelopes import Doubles, Floats, Reals

COMPONENTS = 50
_NO_VARIANCE = 1e-7


@dataclass(frozen=True)
class LinearBaseline:
    """z-score, 50 principal components, least squares; everything from the training part."""

    mean: Doubles
    scale: Doubles
    components: Doubles
    weights: Doubles
    intercept: Doubles

    @classmethod
    def fit(cls, x: Floats, y: Reals, components: int | None = COMPONENTS) -> LinearBaseline:
        """Fit features `(frames, inputs)` to targets `(frames, outputs)`.

        Parameters
        ----------
        components : how many principal components are kept; None keeps all with variance.
        """
        mean = x.mean(axis=0, dtype=np.float64)
        scale = x.std(axis=0, dtype=np.float64)
        scale[scale == 0] = 1  # a dead contact stays zero instead of becoming NaN
        z = (x - mean.astype(np.float32)) / scale.astype(np.float32)
        values, vectors = np.linalg.eigh((z.T @ z).astype(np.float64) / len(z))
        if components is None:
            components = int(np.sum(values > _NO_VARIANCE * values[-1]))
        basis = vectors[:, ::-1][:, :components]
        scores = z @ basis.astype(np.float32)
        target = y - y.mean(axis=0, dtype=np.float64)
        weights = np.linalg.lstsq(scores.astype(np.float64), target, rcond=None)[0]
        return cls(mean, scale, basis, weights, y.mean(axis=0, dtype=np.float64))

    def predict(self, x: Floats) -> Floats:
        """Targets for features, `(frames, outputs)`."""
        z = (x - self.mean.astype(np.float32)) / self.scale.astype(np.float32)
        through = (self.components @ self.weights).astype(np.float32)
        return (z @ through + self.intercept.astype(np.float32)).astype(np.float32)
