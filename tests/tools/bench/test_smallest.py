from __future__ import annotations

from collections import Counter

from tools.bench.smallest import smallest


def test_the_smallest_that_holds_is_found_in_few_trials() -> None:
    tried: list[float] = []

    def whole(ms: float) -> bool:
        tried.append(ms)
        return ms >= 27.5

    assert smallest(whole, 15.0, 45.0, 2.5) == 27.5
    assert len(tried) <= 7
    assert tried.count(27.5) == 2


def test_one_that_held_by_chance_must_hold_again() -> None:
    """22.5 ms is whole once, then never again; 25 ms always."""
    seen: Counter[float] = Counter()

    def whole(ms: float) -> bool:
        seen[ms] += 1
        return ms >= 25.0 or (ms == 22.5 and seen[ms] == 1)

    assert smallest(whole, 15.0, 45.0, 2.5) == 25.0


def test_nothing_holds() -> None:
    assert smallest(lambda ms: False, 15.0, 45.0, 2.5) is None


def test_everything_holds() -> None:
    assert smallest(lambda ms: True, 15.0, 45.0, 2.5) == 15.0
