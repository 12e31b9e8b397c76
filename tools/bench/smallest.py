"""The smallest playout delay with which the sound stays whole, by a search over live runs."""

from __future__ import annotations

from collections.abc import Callable


def smallest(
    whole: Callable[[float], bool],
    low: float,
    high: float,
    step: float,
    confirm: int = 2,
) -> float | None:
    """The smallest of `low, low + step, ...` for which `whole` is true `confirm` times in a row.

    Halving first, which takes it that a delay above a good one is good; chance may have let a trial
    pass or fail, so what is found must hold again, and else the next larger one is tried.

    Returns
    -------
    None if not even `high` holds.
    """
    steps = round((high - low) / step)
    at = _halve(lambda k: whole(low + k * step), steps)
    passed = 0 if at is None else 1
    while at is not None and at <= steps:
        while passed < confirm and whole(low + at * step):
            passed += 1
        if passed >= confirm:
            return low + at * step
        at, passed = at + 1, 0
    return None


def _halve(good: Callable[[int], bool], last: int) -> int | None:
    """The smallest good index, if those above a good one are good."""
    if not good(last):
        return None
    bad, found = -1, last
    while found - bad > 1:
        middle = (bad + found) // 2
        if good(middle):
            found = middle
        else:
            bad = middle
    return found
