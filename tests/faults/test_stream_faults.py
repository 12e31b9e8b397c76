"""Gaps, packets, jitter, timestamps and stalls of a real outlet: what is heard, told, recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.faults.policy import (
    CAPTURE_S,
    PACKET_S,
    check_clean_edges,
    check_delay,
    check_fault_free,
    check_resumed,
    check_sounding,
    silence_for,
)
from tests.faults.session import Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SHORT_GAPS_MS = {4.0: 1.0, 5.5: 10.0, 7.0: 49.0}
LONG_GAPS_MS = {8.5: 51.0, 11.0: 500.0}
# The clock is watched for 0.25 s before it has jumped, then the states warm for 0.4 s.
PLAN: list[dict[str, Any]] = [
    *({"kind": "gap", "at_s": at, "ms": ms} for at, ms in (SHORT_GAPS_MS | LONG_GAPS_MS).items()),
    {"kind": "duplicate", "at_s": 14.0, "samples": 40},
    {"kind": "backward", "at_s": [15.5, 16.5], "ms": 25.0},
    {"kind": "jitter", "at_s": 18.0, "seconds": 1.5, "sd_ms": 4.0},
    {"kind": "jitter", "at_s": 20.5, "seconds": 1.5, "sd_ms": 4.0, "of": "stamps"},
    {"kind": "clock_jump", "at_s": 23.0, "seconds": 10.0},
    {"kind": "clock_jump", "at_s": 27.0, "seconds": -10.0},
    {"kind": "stall", "at_s": 31.0, "seconds": 2.0},
    {"kind": "stall", "at_s": 37.0, "seconds": 5.0},
]
SECONDS = 46.0


def test_a_fault_free_stretch_sounds(outcome: Outcome) -> None:
    check_fault_free(outcome)


@pytest.mark.parametrize("number", range(3), ids=["1ms", "10ms", "49ms"])
def test_a_short_gap_is_bridged(outcome: Outcome, number: int) -> None:
    at = outcome.at("gap", number)
    check_sounding(outcome, at - 0.1, at + 1.3)
    check_clean_edges(outcome, at - 0.1, at + 1.3)
    check_delay(outcome, at + 0.8, at + 1.4)


def test_gaps_of_16_ms_and_more_are_counted_and_recorded_as_bridged(outcome: Outcome) -> None:
    """1 and 10 ms lie below the detector's 12 ms by design; 49 ms are 50 samples."""
    came = outcome.hops["available"]
    at = outcome.at("gap", 2)
    near = (came > at) & (came < at + 0.6)
    assert outcome.hops["bridged"][near].sum() == pytest.approx(50, abs=1)
    before = came < at
    assert outcome.hops["bridged"][before].sum() <= 11


@pytest.mark.parametrize("number", [3, 4], ids=["51ms", "500ms"])
def test_a_long_gap_fades_and_resumes(outcome: Outcome, number: int) -> None:
    at = outcome.at("gap", number)
    lost_s = outcome.injected[number]["detail"]["ms"] / 1e3
    # Noticed when the first packet after it is there.
    span = silence_for(outcome, at + lost_s + PACKET_S if lost_s < 0.1 else at)
    check_resumed(span, at + lost_s)
    check_clean_edges(outcome, at - 0.1, at + lost_s + 1.5)
    check_delay(outcome, at + lost_s + 1.0, at + lost_s + 1.9)
    assert outcome.told("cold start", at, at + lost_s + 1.0)


@pytest.mark.parametrize(
    ("kind", "number", "seconds"),
    [
        ("duplicate", 0, 0.0),
        ("backward", 0, 0.0),
        ("backward", 1, 0.0),
        ("jitter", 0, 1.5),
        ("jitter", 1, 1.5),
    ],
    ids=["duplicate", "backward", "backward again", "jitter", "jitter of stamps"],
)
def test_it_sounds_on(outcome: Outcome, kind: str, number: int, seconds: float) -> None:
    at = outcome.at(kind, number)
    check_sounding(outcome, at - 0.1, at + seconds + 0.9)
    check_clean_edges(outcome, at - 0.1, at + seconds + 0.9)
    check_delay(outcome, at + seconds + 0.3, at + seconds + 0.9)


def test_duplicates_are_dropped_and_counted(outcome: Outcome) -> None:
    at = outcome.at("duplicate")
    told = outcome.told("duplicates dropped", at, at + 1.2)
    assert sum(event["samples"] for event in told) == 40
    # No hop more than samples that were new: the grid is as without them.
    came = outcome.hops["available"]
    near = (came > at - 1.0) & (came < at + 1.0)
    assert near.sum() == pytest.approx(2.0 / 0.015, abs=3)


@pytest.mark.parametrize("number", [0, 1], ids=["+10s", "-10s"])
def test_a_clock_jump_fades_resets_and_resumes(outcome: Outcome, number: int) -> None:
    at = outcome.at("clock_jump", number)
    span = outcome.heard.silence_after(at, 0.1)
    assert span is not None
    # "Fades out within a hop of being noticed"; noticing takes 0.25 s of stamps.
    assert span.start - at < 0.25 + 2 * PACKET_S + 0.03 + CAPTURE_S
    check_resumed(span, at)
    check_clean_edges(outcome, at - 0.1, at + 2.0)
    check_delay(outcome, at + 2.0, at + 3.0)
    assert outcome.told("clock jump", at, at + 1.0)


@pytest.mark.parametrize(("number", "seconds"), [(0, 2.0), (1, 5.0)], ids=["2s", "5s"])
def test_a_stall_is_silent_and_old_data_are_not_played(
    outcome: Outcome, number: int, seconds: float
) -> None:
    """Everything held back comes at once, seconds old: silence until what is new is decoded."""
    at = outcome.at("stall", number)
    span = silence_for(outcome, at)
    assert span.end > at + seconds
    check_resumed(span, at + seconds)
    check_clean_edges(outcome, at - 0.1, at + seconds + 1.5)
    check_delay(outcome, at + seconds + 1.0, at + seconds + 2.0)


def test_what_was_never_lost_is_decoded_once(outcome: Outcome) -> None:
    """Hops on the sample grid: indices rise by one, or the states were reset."""
    first = outcome.hops["first_sample"]
    assert (np.diff(first) > 0).all()
