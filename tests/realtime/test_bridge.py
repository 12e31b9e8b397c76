from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from realtime.bridge import Bridge

FS = Fraction(1024)


@pytest.mark.parametrize("lost", [1, 16, 20, 49, 51, 150])
@pytest.mark.parametrize("line_hz", [50.0, 60.0])
def test_the_line_goes_on_through_a_bridge(lost: int, line_hz: float) -> None:
    t = np.arange(600) / 1024
    wave = np.sin(2 * np.pi * line_hz * t)[:, None] * np.array([30.0, 5.0])
    x = (wave + np.array([100.0, -40.0])).astype(np.float32)
    bridge, at = Bridge(FS, line_hz, 2), 400
    for start in range(0, at, 7):
        bridge.remember(x[start : min(start + 7, at)])
    got = bridge.across(lost, x[at + lost])
    assert got.dtype == np.float32
    # A period is 20.48 or 17.07 samples, so whole ones are up to half a sample off, 0.18 rad, and
    # joining the ends adds as much again. A straight line would be off by the amplitude, 30.
    np.testing.assert_allclose(got, x[at : at + lost], atol=30 * 2 * 0.19)


def test_both_ends_are_joined() -> None:
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(0, 1, (500, 3)), axis=0).astype(np.float32)
    bridge = Bridge(FS, 50.0, 3)
    bridge.remember(x[:300])
    got = bridge.across(40, x[340] + 50)
    steps = np.diff(np.concatenate([x[299:300], got, x[340:341] + 50]), axis=0)
    # The noise's own steps, and 50 spread over 41.
    assert np.abs(steps).max() < 4.5 + 50 / 41 * 2


def test_one_block_longer_than_its_memory_is_remembered_by_its_end() -> None:
    x = np.arange(2000, dtype=np.float32)[:, None]
    bridge = Bridge(FS, 50.0, 1)
    bridge.remember(x[:1000])
    np.testing.assert_allclose(bridge.across(10, x[1010]), x[1000:1010], rtol=1e-6)
