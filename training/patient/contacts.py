"""Which contacts are informative, when they act and how strongly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.patient.settings import PatientSettings

_SHAFT_LETTERS = tuple(side + lobe for side in "LR" for lobe in "ABCHTFIO")
_CLUSTER = 3
CLASSES = ("labial", "coronal", "dorsal", "fricative", "nasal", "vowel", "high", "back", "voiced")


@dataclass(frozen=True)
class Informative:
    """The informative contacts, one entry each.

    `columns` index contacts; `lags_s` is positive where the contact acts after the speech and
    negative where it acts first; `strengths` multiply the gain; `weights` are `(n, 9)` unit
    vectors over `CLASSES`.
    """

    columns: NDArray[np.int64]
    lags_s: NDArray[np.float64]
    strengths: NDArray[np.float64]
    weights: NDArray[np.float64]


def labels(settings: PatientSettings) -> tuple[str, ...]:
    """Contact names, `LA1` ... shaft after shaft, deepest contact first."""
    shafts = _SHAFT_LETTERS[: settings.shafts]
    numbers = range(1, settings.contacts_per_shaft + 1)
    return tuple(f"{shaft}{number}" for shaft in shafts for number in numbers)


def choose_informative(settings: PatientSettings) -> Informative:
    """Clusters of about three neighbours; 60 % lead speech by 30-200 ms, 40 % follow it."""
    rng = np.random.default_rng([settings.seed, 3])
    wanted = round(settings.informative * settings.contacts)
    columns: list[int] = []
    lags: list[float] = []
    while len(columns) < wanted:
        cluster = [c for c in _cluster(settings, rng) if c not in columns]
        sign = -1.0 if rng.random() < 0.6 else 1.0
        lag = sign * float(rng.uniform(0.03, 0.2))
        cluster = cluster[: wanted - len(columns)]
        columns += cluster
        lags += [lag] * len(cluster)
    weights = rng.standard_normal((wanted, len(CLASSES)))
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    strengths = rng.uniform(0.6, 1.4, wanted)
    return Informative(np.array(columns, np.int64), np.array(lags), strengths, weights / norms)


def choose_faulty(
    settings: PatientSettings, informative: Informative
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dead and saturated contacts, never informative ones (that would hide in the gain)."""
    rng = np.random.default_rng([settings.seed, 4])
    free = np.setdiff1d(np.arange(settings.contacts), informative.columns)
    faulty = rng.permutation(free)[: settings.dead_contacts + settings.saturated_contacts]
    return np.sort(faulty[: settings.dead_contacts]), np.sort(faulty[settings.dead_contacts :])


def _cluster(settings: PatientSettings, rng: np.random.Generator) -> list[int]:
    size = min(_CLUSTER, settings.contacts_per_shaft)
    shaft = int(rng.integers(settings.shafts))
    first = int(rng.integers(settings.contacts_per_shaft - size + 1))
    start = shaft * settings.contacts_per_shaft + first
    return list(range(start, start + size))
