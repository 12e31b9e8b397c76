"""Whitened principal components of training mels: every component counts equally."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.scores.arrays import Doubles, Mels
from training.scores.pearson import mel_r

COMPONENTS = 50


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
