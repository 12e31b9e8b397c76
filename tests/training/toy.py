"""Something small to train on, and settings that take seconds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from models.hops import HopClock
from tests.bundles import TINY_NETWORK
from training.settings import ExperimentSettings, OptimiserSettings, PhaseSettings
from training.stretches import Part

CLOCK = HopClock(Fraction(1024))


def short(
    encoder: int,
    network: int,
    check_every: int = 20,
    top: dict[str, Any] | None = None,
    **more: Any,
) -> ExperimentSettings:
    """`more` goes into `optimiser`, `top` into the experiment."""

    def phase(steps: int) -> PhaseSettings:
        return PhaseSettings(
            steps=steps,
            batch=4,
            stretch_hops=60,
            warm_hops=15,
            learning_rate=5e-3,
            check_every=check_every,
        )

    optimiser = OptimiserSettings(encoder=phase(encoder), network=phase(network), **more)
    given = {"network": TINY_NETWORK, "optimiser": optimiser, "test_fraction": 0.4, **(top or {})}
    return ExperimentSettings(**given)


def part(seconds: float = 20, seed: int = 0) -> Part:
    """Mel frames that follow the features of a moment ago: something to learn."""
    rng = np.random.default_rng(seed)
    samples = CLOCK.end(int(seconds / 0.015) - 1)
    drive = np.repeat(rng.standard_normal((samples // 128 + 1, 8)), 128, axis=0)[:samples]
    features = (drive + 0.1 * rng.standard_normal(drive.shape)).astype(np.float32)
    ends = np.array([CLOCK.end(k) - 20 for k in range(int(seconds / 0.015))])
    mixing = np.random.default_rng(99).standard_normal((8, 80))
    mel = -6 + 2 * drive[np.maximum(ends, 0)] @ mixing / 3
    return Part(features, mel.astype(np.float32), CLOCK)
