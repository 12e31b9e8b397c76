"""`compare` calls noise noise: at its stated rate, on clean rounds and on rounds that drift."""

from __future__ import annotations

import numpy as np
import pytest

from tools.bench import noise
from tools.bench.noise import (
    BETTER,
    NOISE,
    UNTOLD,
    WORSE,
    Side,
    blocks,
    difference,
    holm,
    judge,
    permuted,
)

ROUNDS, STEPS = 40, 50


def measured(rng: np.random.Generator, factor: float = 1.0, machine: np.ndarray | None = None):
    """Rounds as a benchmark has them: a heavy tail, and a machine with moods."""
    rounds = []
    for k in range(ROUNDS):
        mood = 1.0 if machine is None else machine[k]
        values = factor * mood * rng.lognormal(0, 0.15, STEPS)
        values[rng.random(STEPS) < 0.02] *= 8
        rounds.append(values)
    return rounds


@pytest.fixture
def few_deals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise.permuted, "__defaults__", (999,))


@pytest.mark.usefixtures("few_deals")
def test_the_same_thing_twice_is_within_noise_at_the_stated_rate() -> None:
    """200 comparisons of two figures: at 5 % each, more than 22 alarms come in one of 1000 runs.

    No least difference: the test alone must hold the rate.
    """
    rng = np.random.default_rng(0)
    alarms = 0
    for trial in range(200):
        found = [
            difference(name, 50, Side(measured(rng)), Side(measured(rng)), trial)
            for name in ("step", "hop")
        ]
        verdicts = {d.verdict for d in judge(found, least=0.0)}
        alarms += bool(verdicts & {BETTER, WORSE})
    assert alarms <= 22
    # A test that is never wrong here would find nothing anywhere.
    assert alarms >= 1


@pytest.mark.usefixtures("few_deals")
def test_a_drifting_machine_raises_no_more_alarms() -> None:
    """Moods of the machine that last for several rounds, others in A than in B."""
    rng = np.random.default_rng(1)
    alarms = 0
    for trial in range(100):
        moods = []
        for _ in range(2):
            walk = np.zeros(ROUNDS)
            for k in range(1, ROUNDS):
                walk[k] = 0.8 * walk[k - 1] + 0.05 * rng.standard_normal()
            moods.append(np.exp(walk))
        a, b = (Side(measured(rng, machine=mood)) for mood in moods)
        alarms += judge([difference("step", 50, a, b, trial)])[0].verdict in (BETTER, WORSE)
    assert alarms <= 10


@pytest.mark.parametrize(("factor", "verdict"), [(1.15, WORSE), (0.85, BETTER)])
def test_a_shift_is_found(factor: float, verdict: str) -> None:
    rng = np.random.default_rng(2)
    a, b = Side(measured(rng)), Side(measured(rng, factor))
    (found,) = judge([difference("step", 50, a, b)])
    assert found.verdict == verdict
    assert found.change == pytest.approx(factor - 1, abs=0.03)
    assert found.low < factor - 1 < found.high


def test_a_slower_machine_is_not_slower_code() -> None:
    """B's machine is 20 % slower, and the yardstick of the same rounds with it."""
    rng = np.random.default_rng(3)
    slow = np.full(ROUNDS, 1.2)
    plain = difference("step", 50, Side(measured(rng)), Side(measured(rng, machine=slow)))
    assert judge([plain])[0].verdict == WORSE
    a = Side(measured(rng), measured(rng))
    b = Side(measured(rng, machine=slow), measured(rng, machine=slow))
    (found,) = judge([difference("step", 50, a, b)])
    assert found.verdict == NOISE
    assert found.change == pytest.approx(0.2, abs=0.05)
    assert found.against == pytest.approx(0.0, abs=0.05)


def test_a_difference_too_small_to_matter_is_noise() -> None:
    rng = np.random.default_rng(4)
    steady = [rng.normal(1.0, 0.001, STEPS) for _ in range(ROUNDS)]
    more = [values * 1.01 for values in steady]
    (found,) = judge([difference("step", 50, Side(steady), Side(more))])
    assert found.p < 0.001
    assert found.verdict == NOISE


def test_too_little_is_not_judged() -> None:
    rng = np.random.default_rng(5)
    few = Side(measured(rng)[:4])
    (found,) = judge([difference("step", 50, few, few)])
    assert (found.verdict, found.why) == (UNTOLD, "fewer than 6 blocks of a run")
    # 2000 values hold no six blocks with four values each beyond p99.9.
    (found,) = judge([difference("step", 99.9, Side(measured(rng)), Side(measured(rng)))])
    assert found.verdict == UNTOLD
    assert np.isfinite(found.a)


def test_blocks_are_long_enough_for_their_percentile() -> None:
    rounds = [np.full(50, float(k + 1)) for k in range(40)]
    assert len(blocks(Side(rounds), 50)) == 40
    found = blocks(Side(rounds, rounds), 99)
    assert len(found) == 2000 // 400
    # The median of the yardstick, over the block's own rounds.
    assert found[0, 1] == pytest.approx(np.log(4.5))


def test_p_of_a_permutation_is_that_of_all_permutations() -> None:
    """Four against four, all apart: 2 of 70 deals are as far apart."""
    rng = np.random.default_rng(6)
    p = permuted(np.arange(4.0), np.arange(10.0, 14.0), rng, 20000)
    assert p == pytest.approx(2 / 70, abs=0.005)


def test_holm_corrects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
