"""What was captured is where it was put: delays known beforehand, on made-up sound."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import samplerate

from models.mel import VOCODER_HOP
from tools.bench.capture import Captured, evened
from tools.bench.heard import breaks, locate
from tools.bench.marker import HOPS, Marked

RATE, HOP_AT = 48_000, 720


class Silence:
    """A vocoder that says nothing."""

    latency = Fraction(3, 400)

    def step(self, block: np.ndarray) -> np.ndarray:
        return np.zeros(len(block) * VOCODER_HOP, np.float32)

    def reset(self) -> None:
        pass


def marked(hops: int, seed: int = 0) -> np.ndarray:
    """Silence with the marker, 16 kHz."""
    return Marked(Silence(), seed).step(np.zeros((hops, 80), np.float32))


def played(decoded: np.ndarray, delay: int, stretch: float = 1.0) -> np.ndarray:
    """As playout plays it: resampled as playout does it, later, with a little noise."""
    made = samplerate.resample(decoded, 3 * stretch, "sinc_best")
    rng = np.random.default_rng(9)
    sound = np.concatenate([np.zeros(delay, np.float32), made, np.zeros(4800, np.float32)])
    return (sound + 1e-4 * rng.standard_normal(len(sound))).astype(np.float32)


def test_every_hop_is_found_at_its_delay() -> None:
    """A delay of 1917 samples, 39.94 ms; two samples are 0.04 ms."""
    hops = 100
    decoded = marked(hops)
    expected = np.arange(hops) * float(HOP_AT)
    found = locate(decoded, played(decoded, 1917), RATE, expected)
    assert found.place - expected == pytest.approx(np.full(hops, 1917.0), abs=2.0)
    assert found.score.min() > 0.95
    assert len(breaks(found, RATE)) == 0


def test_a_stretched_playout_is_followed() -> None:
    """0.1 %, the most that playout does: 15 us a hop, which add up."""
    hops = 200
    decoded = marked(hops)
    expected = np.arange(hops) * float(HOP_AT)
    found = locate(decoded, played(decoded, 1500, 1.001), RATE, expected)
    late = found.place - expected
    assert late[-1] - late[0] == pytest.approx(0.001 * 199 * HOP_AT, abs=3.0)
    assert len(breaks(found, RATE)) == 0


def test_a_gap_and_a_missing_hop_are_breaks() -> None:
    hops = 60
    decoded = marked(hops)
    sound = played(decoded, 1000)
    cut = 1000 + 30 * HOP_AT
    sound = np.concatenate([sound[:cut], np.zeros(240, np.float32), sound[cut:]])
    silent = 1000 + 240 + 45 * HOP_AT
    sound[silent : silent + HOP_AT] = 0
    expected = np.arange(hops) * float(HOP_AT)
    found = locate(decoded, sound, RATE, expected)
    assert np.isnan(found.place[45])
    assert list(breaks(found, RATE)) == [30, 45, 46]
    assert found.place[31] - expected[31] == pytest.approx(1240, abs=2.0)


def test_other_sound_is_not_taken_for_it() -> None:
    hops = 40
    expected = np.arange(hops) * float(HOP_AT)
    found = locate(marked(hops, seed=0), played(marked(hops, seed=1), 900), RATE, expected)
    assert np.isnan(found.place).all()
    assert found.score.max() < 0.5


def test_what_is_not_sought_is_not_found() -> None:
    decoded = marked(30)
    expected = np.arange(30) * float(HOP_AT)
    expected[:10] = np.nan
    found = locate(decoded, played(decoded, 500), RATE, expected)
    assert np.isnan(found.place[:10]).all()
    assert np.isfinite(found.place[10:]).all()
    silence = locate(np.zeros_like(decoded), played(decoded, 500), RATE, expected)
    assert np.isnan(silence.place).all()


def test_hops_near_each_other_have_markers_of_their_own() -> None:
    rows = marked(HOPS).reshape(HOPS, VOCODER_HOP)
    alike = np.corrcoef(rows) - np.eye(HOPS)
    assert np.abs(alike).max() < 0.5
    marker = Marked(Silence())
    first = marker.step(np.zeros((1, 80), np.float32))
    marker.reset()
    assert not np.array_equal(first, marker.step(np.zeros((1, 80), np.float32)))


def test_the_time_of_a_sample_is_that_of_its_block() -> None:
    blocks = np.array([[0.0, 10.0], [480.0, 10.01], [960.0, 10.05]])
    captured = Captured(np.zeros(1440, np.float32), blocks, RATE)
    times = captured.time_of(np.array([0.0, 240.0, 480.0, 1200.0, np.nan]))
    assert times[:4] == pytest.approx([10.0, 10.005, 10.01, 10.055])
    assert np.isnan(times[4])
    assert captured.place_at(np.array([10.005])) == pytest.approx([240.0])


def test_blocks_that_arrive_late_do_not_count_as_heard_late() -> None:
    """Blocks of 10 ms at an even pace; every third arrives up to 6 ms late."""
    rng = np.random.default_rng(0)
    first = 480.0 * np.arange(500)
    true = 50.0 + first / RATE
    arrived = true + np.where(np.arange(500) % 3 == 0, rng.uniform(0, 0.006, 500), 0.0)
    found = evened(np.stack([first, arrived], axis=1), RATE)
    assert found[:, 1] == pytest.approx(true, abs=1e-9)
