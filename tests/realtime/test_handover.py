from __future__ import annotations

import numpy as np

from models.mel import VOCODER_HOP
from realtime.handover import Handover
from realtime.pipeline import Hop


def hop(index: int, due: float) -> Hop:
    """A piece of one long sine, so that any step is a fault of joining."""
    at = np.arange(index * VOCODER_HOP, (index + 1) * VOCODER_HOP)
    made = Hop(index=index, due=due)
    made.audio = (0.5 * np.sin(0.05 * at)).astype(np.float32)
    return made


def test_what_is_in_time_is_pushed_as_it_is() -> None:
    pushed: list[tuple[np.ndarray, int]] = []
    handover = Handover(lambda audio, index: pushed.append((audio, index)), 0.045)
    for k in range(5):
        made = hop(k, due=k * 0.015)
        handover.hop(made, k * 0.015 + 0.07, burst_s=0.031)
        assert not made.dropped
    assert [index for _, index in pushed] == list(range(5))
    np.testing.assert_array_equal(pushed[3][0], hop(3, 0).audio)
    assert not handover.overloaded


def test_what_is_too_late_is_dropped_counted_and_joined_without_a_step() -> None:
    pushed: list[np.ndarray] = []
    handover = Handover(lambda audio, index: pushed.append(audio), 0.045)
    for k in range(60):
        made = hop(k, due=0.0)
        late = 10 <= k < 13
        handover.hop(made, 0.08 if late else 0.07, burst_s=0.031)
        assert made.dropped == late
        assert handover.overloaded == (10 <= k < 13 + 32)
    assert handover.dropped == 3
    audio = np.concatenate(pushed)
    assert len(audio) == 57 * VOCODER_HOP
    # The sine moves by 0.025 a sample; two of them cross-faded over 15 ms by hardly more.
    assert np.abs(np.diff(audio)).max() < 0.03


def test_silence_stands_in_for_what_a_cold_start_leaves_out() -> None:
    pushed: list[tuple[float, int]] = []
    handover = Handover(lambda audio, index: pushed.append((float(np.ptp(audio)), index)), 0.12)
    for k in (0, 1, 5, 6):
        handover.hop(hop(k, due=k * 0.015), k * 0.015 + 0.07, burst_s=0.0)
    assert [index for _, index in pushed] == list(range(7))
    assert [index for spread, index in pushed if spread == 0] == [2, 3, 4]


def test_nothing_stands_in_once_playout_has_run_dry() -> None:
    pushed: list[int] = []
    handover = Handover(lambda audio, index: pushed.append(index), 0.045)
    for k in (0, 1, 40, 41):
        handover.hop(hop(k, due=k * 0.015), k * 0.015 + 0.07, burst_s=0.031)
    assert pushed == [0, 1, 40, 41]


def test_nothing_stale_is_heard_after_a_long_stretch_was_dropped() -> None:
    pushed: list[np.ndarray] = []
    handover = Handover(lambda audio, index: pushed.append(audio), 0.045)
    for k in range(60):
        made = hop(k, due=0.0)
        if 10 <= k < 50:
            made.audio[:] = 0.9
        elif k >= 50:
            made.audio[:] = 0.0
        handover.hop(made, 0.08 if 10 <= k < 50 else 0.07, burst_s=0.031)
    # What was dropped first was due 600 ms before.
    assert not np.concatenate(pushed[10:]).any()
