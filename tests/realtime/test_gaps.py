from fractions import Fraction

import numpy as np
import pytest

from realtime.gaps import GapCounter

FS = Fraction(1024)


def _play(
    counter: GapCounter,
    seconds: float,
    burst: int,
    jitter_s: float,
    lost_at: dict[int, int],
    seed: int = 0,
    ppm: float = 50.0,
) -> list[tuple[float, int]]:
    """Feed stamped bursts; `lost_at` maps a burst to the samples lost before it."""
    rng = np.random.default_rng(seed)
    found, sample = [], 0
    for k in range(int(seconds * FS / burst)):
        sample += lost_at.get(k, 0) + burst
        stamp = 1000.0 + sample / float(FS) * (1 + ppm * 1e-6) + abs(rng.normal(0, jitter_s))
        if lost := counter.update(burst, stamp):
            found.append((sample / float(FS), lost))
    return found


@pytest.mark.parametrize("burst", [1, 16, 32])
@pytest.mark.parametrize("lost", [17, 32, 103, 1024])
def test_gap_is_counted_once_and_soon(burst: int, lost: int) -> None:
    at = int(20 * FS) // burst
    found = _play(GapCounter(FS), 40, burst, 1e-3, {at: lost})
    assert len(found) == 1
    when, size = found[0]
    # The minimum over 0.25 s of 1 ms jitter and 50 ppm over 10 s: within one sample.
    assert abs(size - lost) <= 1
    # 10 buckets of 26 samples, each rounded up to whole bursts of 32, and the gap itself.
    assert 20 < when - lost / float(FS) <= 20.36


def test_several_gaps_add_up() -> None:
    counter = GapCounter(FS)
    _play(counter, 60, 16, 5e-4, {1000: 50, 1500: 200, 2500: 20})
    assert abs(counter.lost - 270) <= 3


@pytest.mark.parametrize("burst", [1, 16, 32])
@pytest.mark.parametrize("jitter_s", [5e-4, 2e-3, 5e-3])
def test_jitter_and_drift_are_not_gaps(burst: int, jitter_s: float) -> None:
    assert _play(GapCounter(FS), 60, burst, jitter_s, {}, seed=burst) == []


def test_reset_forgets_the_clock_but_not_the_count() -> None:
    counter = GapCounter(FS)
    _play(counter, 20, 16, 1e-3, {640: 100})
    counted = counter.lost
    counter.reset()
    for k in range(1000):
        counter.update(16, 5.0 + k * 16 / 1024)
    assert counter.lost == counted != 0
