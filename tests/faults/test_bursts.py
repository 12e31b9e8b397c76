"""Packets of 1 to 512 samples: those that the playout delay covers are not heard at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.faults.policy import (
    PACKET_S,
    check_clean_edges,
    check_delay,
    check_fault_free,
    check_sounding,
    delay,
)
from tests.faults.session import Outcome, play_out
from tests.sound_servers import SoundServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

LASTS_S = 3.0
# At 120 ms of playout delay, 128 samples (125 ms) and more are not covered.
COVERED = {4.0: 1, 8.5: 15, 13.0: 32}
LONGER = {17.5: 128, 23.0: 512}
PLAN = [
    {"kind": "burst", "at_s": at, "seconds": LASTS_S, "samples": samples}
    for at, samples in (COVERED | LONGER).items()
]
SECONDS = 30.0
NAMES = [f"{samples} samples" for samples in (COVERED | LONGER).values()]


def test_a_fault_free_stretch_sounds(outcome: Outcome) -> None:
    check_fault_free(outcome)


@pytest.mark.parametrize("number", [0, 1, 2], ids=NAMES[:3])
def test_bursts_that_playout_covers_are_not_heard(outcome: Outcome, number: int) -> None:
    at = outcome.at("burst", number)
    check_sounding(outcome, at - 0.2, at + LASTS_S + 1.3)
    check_clean_edges(outcome, at - 0.2, at + LASTS_S + 1.3)
    check_delay(outcome, at + LASTS_S + 0.5, at + LASTS_S + 1.4)


@pytest.mark.parametrize("number", [3, 4], ids=NAMES[3:])
def test_longer_bursts_break_up_without_clicks_and_leave_nothing(
    outcome: Outcome, number: int
) -> None:
    """What cannot be continuous fades; when packets are small again the delay is as before."""
    at = outcome.at("burst", number)
    check_clean_edges(outcome, at - 0.2, at + LASTS_S + 1.9)
    check_sounding(outcome, at + LASTS_S + 1.0, at + LASTS_S + 2.3)
    check_delay(outcome, at + LASTS_S + 1.3, at + LASTS_S + 2.3)


def test_every_sample_is_decoded_whatever_the_packets(outcome: Outcome) -> None:
    """No sample is lost, so the states step through every hop."""
    np.testing.assert_array_equal(np.diff(outcome.hops["index"]), 1)


def test_bursts_of_half_a_second_with_the_delay_they_need(
    sounding_bundle: Path, pulse: SoundServer, tmp_path: Path
) -> None:
    """512 samples from the start, 700 ms of playout: continuous, and the burst is told."""
    play = {"target_ms": 700.0}
    outcome = play_out(
        sounding_bundle, pulse, tmp_path, [], 12.0, packet=512, playout=play, warm_s=2.0
    )
    told = next(e for e in outcome.events if e["event"] == "burst")
    assert told["ms"] == pytest.approx(500, abs=60)
    start = outcome.live.said("decoding")
    assert start is not None
    end = outcome.hops["available"][-1]
    check_sounding(outcome, start + 1.5, end - 0.2)
    # The first sample of a burst waits half a second for its last.
    assert delay(outcome, start + 3.0, end - 1.0) == pytest.approx(0.7, abs=0.25 + 4 * PACKET_S)
