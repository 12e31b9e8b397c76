from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.hops import HOP, HopClock, encoder_stride, frame_centre

RATES = st.fractions(100, 5000, max_denominator=384)


def test_fifteen_milliseconds_are_15_36_samples_at_1024_hz() -> None:
    clock = HopClock(Fraction(1024))
    assert [clock.end(k) for k in range(-1, 4)] == [0, 16, 31, 47, 62]
    # 25 hops are exactly 384 samples, for ever: nothing is truncated.
    assert clock.end(25 * 240_000 - 1) == 384 * 240_000
    assert (clock.stride, clock.memory_frames()) == (10, 20)


@given(RATES, st.integers(-1, 10**7))
def test_end_is_the_design_s_formula(fs: Fraction, k: int) -> None:
    assert HopClock(fs).end(k) == ceil((k + 1) * HOP * fs)


@given(RATES, st.integers(0, 10**6))
def test_hops_in_counts_whole_hops(fs: Fraction, samples: int) -> None:
    clock = HopClock(fs)
    hops = clock.hops_in(samples)
    assert clock.end(hops - 1) <= samples < clock.end(hops)


@given(RATES, st.integers(0, 10**5))
def test_no_tick_is_used_before_its_samples_are_there(fs: Fraction, k: int) -> None:
    clock = HopClock(fs)
    assert clock.ticks(k) * clock.stride <= clock.end(k) < (clock.ticks(k) + 1) * clock.stride


@pytest.mark.parametrize(("fs", "stride"), [(512, 5), (1000, 10), (1024, 10), (2048, 20)])
def test_encoder_runs_near_100_hz(fs: int, stride: int) -> None:
    assert encoder_stride(Fraction(fs)) == stride


def test_frame_centres_round_to_the_nearest_audio_sample() -> None:
    centres = [frame_centre(k, Fraction(22_050)) for k in range(5)]
    assert centres == [165, 496, 827, 1158, 1488]


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        HopClock(Fraction(0))
