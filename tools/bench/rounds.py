"""Rounds: contestants take turns on one machine, so that what disturbs it disturbs them all.

Each round lets every contestant run a few dozen times in a row, in an order drawn anew. The first
steps of a turn are not counted: they find the caches as the contestant before left them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
Action = Callable[[], None]

ROUND = 100
SETTLE = 3
WARM_UP = 20


@dataclass(frozen=True)
class Contestant:
    """Something to be timed.

    Parameters
    ----------
    action : runs once.
    share : turns as long as this share of a round; enough for its percentiles, and the run stays
        short.
    parts : what the action noted of its own pieces since it was last asked, ms by name.
    pace_s : its own pace, where it is not that of the others; back to back it has none.
    """

    action: Action
    share: float = 1.0
    parts: Callable[[], dict[str, Times]] = dict
    pace_s: float | None = None


@dataclass(frozen=True)
class Turn:
    """One contestant's part of one round, each `(n,)` ms; `parts` by name.

    `spent` is the action's own time, `wake` how long after it was due it began, `done` how long
    after it was due it ended.
    """

    spent: Times
    wake: Times
    done: Times
    parts: dict[str, Times]


def interleave(
    contestants: Mapping[str, Contestant],
    steps: int,
    pace_s: float,
    seed: int = 0,
    round_steps: int = ROUND,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, list[Turn]]:
    """Let contestants take turns until each has run `steps` times (less, by its share).

    Parameters
    ----------
    pace_s : one step every so many seconds; 0 back to back.
    seed : of the order within a round.
    progress : is given the steps done after each round.
    """
    rng, names = np.random.default_rng(seed), list(contestants)
    turns: dict[str, list[Turn]] = {name: [] for name in names}
    for contestant in contestants.values():
        for _ in range(WARM_UP):
            contestant.action()
    for start in range(0, steps, round_steps):
        count = min(round_steps, steps - start)
        for place in rng.permutation(len(names)):
            contestant = contestants[names[place]]
            own = contestant.pace_s if pace_s else None
            pace = pace_s if own is None else own
            few = max(1, round(count * contestant.share))
            turns[names[place]].append(_turn(contestant, few, pace))
        progress(start + count)
    return turns


def _turn(contestant: Contestant, count: int, pace_s: float) -> Turn:
    action, clock = contestant.action, time.perf_counter
    for _ in paced(SETTLE, pace_s):
        action()
    contestant.parts()
    stamps = np.empty((count, 3))
    for k, due in enumerate(paced(count, pace_s)):
        begun = clock()
        action()
        stamps[k] = due, begun, clock()
    due_at, begun_at, ended = 1e3 * stamps.T
    return Turn(ended - begun_at, begun_at - due_at, ended - due_at, contestant.parts())


def paced(count: int, pace_s: float) -> Iterator[float]:
    """Yield `count` times, each when it is due; a late one does not delay the next."""
    start = time.perf_counter() + pace_s
    for k in range(count):
        due = start + k * pace_s if pace_s else time.perf_counter()
        while (left_s := due - time.perf_counter()) > 0:
            time.sleep(left_s)
        yield due
