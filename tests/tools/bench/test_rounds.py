"""Turns are interleaved, counted and timed as they say."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from tools.bench.controls import Hiccup
from tools.bench.document import Figure, document, rounds_ms
from tools.bench.rounds import SETTLE, WARM_UP, Contestant, interleave, paced


def test_contestants_take_turns_in_an_order_drawn_anew() -> None:
    ran: list[str] = []
    rivals = {name: Contestant(lambda name=name: ran.append(name)) for name in "abc"}
    interleave(rivals, 60, 0.0, seed=3, round_steps=10)
    turns = [ran[3 * WARM_UP + i] for i in range(0, len(ran) - 3 * WARM_UP, 10 + SETTLE)]
    assert Counter(turns) == {"a": 6, "b": 6, "c": 6}
    rounds = {"".join(turns[i : i + 3]) for i in range(0, 18, 3)}
    assert len(rounds) > 1
    assert all(sorted(order) == list("abc") for order in rounds)


def test_shares_and_the_last_round() -> None:
    rivals = {"whole": Contestant(lambda: None), "fifth": Contestant(lambda: None, 0.2)}
    done: list[int] = []
    turns = interleave(rivals, 250, 0.0, round_steps=100, progress=done.append)
    assert [len(turn.spent) for turn in turns["whole"]] == [100, 100, 50]
    assert [len(turn.spent) for turn in turns["fifth"]] == [20, 20, 10]
    assert done == [100, 200, 250]


def test_parts_are_those_of_the_counted_steps() -> None:
    noted: list[float] = []

    def parts() -> dict[str, np.ndarray]:
        told = np.array(noted)
        noted.clear()
        return {"piece": told}

    contestant = Contestant(lambda: noted.append(1.0), parts=parts)
    (turn,) = interleave({"a": contestant}, 30, 0.0)["a"]
    assert len(turn.parts["piece"]) == 30


def test_a_late_step_is_late_from_when_it_was_due() -> None:
    """One step of 40 ms at a pace of 10: those after it begin late, and catch up."""
    steps = iter(range(1 << 30))

    def action() -> None:
        if next(steps) == WARM_UP + SETTLE + 4:
            time.sleep(0.04)

    (turn,) = interleave({"a": Contestant(action)}, 12, 0.01)["a"]
    assert turn.done[4] >= 40
    assert turn.wake[5] >= 29
    assert turn.wake[6] >= 19
    assert turn.spent[5] < turn.done[5]


def test_a_contestant_has_its_own_pace_unless_back_to_back() -> None:
    begun: list[float] = []
    rival = Contestant(lambda: begun.append(time.perf_counter()), pace_s=0.02)
    interleave({"a": rival}, 4, 0.001)
    assert np.diff(begun[-3:]) == pytest.approx(0.02, abs=0.015)
    begun.clear()
    start = time.perf_counter()
    interleave({"a": rival}, 4, 0.0)
    assert len(begun) == WARM_UP + SETTLE + 4
    assert begun[-1] - start < 20 * 0.02


def test_paced_times_lie_on_a_grid() -> None:
    due = np.array(list(paced(5, 0.004)))
    assert np.diff(due) == pytest.approx(0.004, abs=1e-9)


def test_a_hiccup_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps by 5 ms, as one does for a program that lost its core."""
    now = iter([0.0, 0.0001, 0.0002, 0.0052, 9.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    hiccup = Hiccup()
    hiccup._spin()
    assert hiccup._parts()["hiccup"] == pytest.approx([5.0])
    assert len(hiccup._parts()["hiccup"]) == 0


def test_a_figure_keeps_its_rounds_and_leaves_out_what_is_unknown() -> None:
    rounds = [np.array([1.0, 2.0, np.nan]), np.array([3.0])]
    found = document("step", {}, {"a": Figure(rounds, "made up", "compute")}, {})["figures"]["a"]
    assert found["count"] == 3
    assert found["p50_ms"] == 2.0
    assert found["max_ms"] == 3.0
    assert [list(values) for values in rounds_ms(found)] == [[1.0, 2.0], [3.0]]
