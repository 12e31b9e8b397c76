"""Whether two runs differ by more than chance: a permutation test on blocks of rounds.

A figure is measured in rounds, some of run A, some of run B. Each side's values are cut into blocks
that follow one another, long enough for the percentile in question (four values beyond it), and of
each block the percentile's logarithm is taken. Blocks are dealt to A and B at random, 9999 times:
p is the share of deals, with the true one, whose means lie as far apart (Fisher 1935; Phipson &
Smyth 2010 for the one that is added).

That takes blocks for independent, and a machine has moods that last. So there is a second p,
Welch's of the two means, with as many blocks as the autocorrelation of either run leaves (n (1 - r)
/ (1 + r), r corrected for its bias in short runs: Kendall 1954); the larger p counts. Over all
figures of a comparison it is corrected by Holm (1979), so the whole comparison calls noise a
difference in 5 % of cases at most.

Where a yardstick ran in the same rounds it is tested a second time, each block against the
yardstick's: both must agree. What is left is a machine that is another one between two runs without
its yardstick showing it, for which there is a least difference of 3 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tools.bench.rounds import Times

ALPHA = 0.05
LEAST = 0.03
DEALS = 9999
FEWEST = 6
"""Blocks of each side: 924 deals, p down to .002."""
BEYOND = 4
_CHUNK = 500
BETTER, WORSE, NOISE, UNTOLD = "better", "worse", "within noise", "not told"


@dataclass(frozen=True)
class Difference:
    """One percentile of one figure in two runs.

    `a`, `b` the percentile of all values; `change` of B over A less 1, by blocks; `low`, `high` its
    95 % interval (bootstrap of blocks); `against` the change against the yardstick; `p` and
    `p_against` before correction; `blocks` of each side; `verdict`; `why` it is not told.
    """

    figure: str
    percentile: float
    a: float
    b: float
    change: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    against: float = float("nan")
    p: float = 1.0
    p_against: float = float("nan")
    blocks: tuple[int, int] = (0, 0)
    verdict: str = UNTOLD
    why: str = ""


@dataclass(frozen=True)
class Side:
    """One run's rounds of a figure, ms, and of its yardstick; None without one."""

    rounds: Sequence[Times]
    yardstick: Sequence[Times] | None = None


def difference(figure: str, percentile: float, a: Side, b: Side, seed: int = 0) -> Difference:
    """Test one percentile; the verdict comes later, for all figures together (`judge`)."""
    begun = Difference(figure, percentile, _whole(a, percentile), _whole(b, percentile))
    sides = [blocks(side, percentile) for side in (a, b)]
    counts = len(sides[0]), len(sides[1])
    if min(counts) < FEWEST:
        return replace(begun, blocks=counts, why=f"fewer than {FEWEST} blocks of a run")
    first, second = (side[:, 0] for side in sides)
    rng = np.random.default_rng(seed)
    low, high = _interval(first, second, rng)
    against, p_against = _against(sides, rng)
    return replace(
        begun,
        change=float(np.expm1(second.mean() - first.mean())),
        low=low,
        high=high,
        p=chance(first, second, rng),
        blocks=counts,
        against=against,
        p_against=p_against,
    )


def _against(sides: Sequence[Times], rng: np.random.Generator) -> tuple[float, float]:
    """Change against the yardstick, and its p; NaN without one."""
    if any(np.isnan(side[:, 1]).any() for side in sides):
        return float("nan"), float("nan")
    first, second = (side[:, 0] - side[:, 1] for side in sides)
    change = float(np.expm1(second.mean() - first.mean()))
    return change, chance(first, second, rng)


def blocks(side: Side, percentile: float) -> Times:
    """Logarithm of the percentile in each block, and of the yardstick's median; `(blocks, 2)`."""
    sticks = side.yardstick or [np.zeros(0)] * len(side.rounds)
    wanted = BEYOND / (1.0 - percentile / 100.0)
    rows, held, stick = [], np.zeros(0), np.zeros(0)
    for values, control in zip(side.rounds, sticks, strict=False):
        held, stick = np.concatenate([held, values]), np.concatenate([stick, control])
        if len(held) >= wanted:
            own = np.log(max(float(np.percentile(held, percentile)), 1e-9))
            beside = np.log(max(float(np.median(stick)), 1e-9)) if len(stick) else np.nan
            rows.append((own, beside))
            held, stick = np.zeros(0), np.zeros(0)
    return np.array(rows, np.float64).reshape(-1, 2)


def _whole(side: Side, percentile: float) -> float:
    values = np.concatenate([*side.rounds, np.zeros(0)])
    return float(np.percentile(values, percentile)) if len(values) else float("nan")


def chance(first: Times, second: Times, rng: np.random.Generator) -> float:
    """The larger p of a permutation of blocks and of their means with what autocorrelation leaves.

    One block that says all of the next leaves none, and p is 1.
    """
    return max(permuted(first, second, rng), moody(first, second))


def moody(first: Times, second: Times) -> float:
    """Two-sided p of the difference of means of two autocorrelated runs (Welch's test)."""
    from scipy.special import stdtr

    spread, freedom = 0.0, 0.0
    for side in (first, second):
        left = independent(side)
        # The spread within a run with moods is smaller than that of its moods.
        own = float(side.var()) / (1.0 - 1.0 / left) / left if left > 1 else np.inf
        spread += own
        freedom += own**2 / (left - 1.0) if left > 1 else np.inf
    apart = abs(float(second.mean() - first.mean()))
    if not np.isfinite(spread):
        return 1.0
    if spread == 0:
        return 1.0 if apart == 0 else 0.0
    return float(2.0 * stdtr(spread**2 / freedom, -apart / np.sqrt(spread)))


def independent(values: Times) -> float:
    """How many independent values say as much of the mean, for a process of first order."""
    n = len(values)
    seen = _neighbours(values)
    r = min(max(seen + (1.0 + 4.0 * max(seen, 0.0)) / n, 0.0), 0.99)
    return n * (1.0 - r) / (1.0 + r)


def _neighbours(values: Times) -> float:
    """Lag-1 autocorrelation."""
    apart = values - values.mean()
    spread = float(np.dot(apart, apart))
    return float(np.dot(apart[1:], apart[:-1])) / spread if spread > 0 else 0.0


def permuted(first: Times, second: Times, rng: np.random.Generator, deals: int = DEALS) -> float:
    """Two-sided p of the difference of means, by random deals of the blocks to both sides."""
    together = np.concatenate([first, second])
    seen = abs(float(second.mean() - first.mean()))
    as_far, left = 0, deals
    while left:
        count = min(left, _CHUNK)
        dealt = rng.permuted(np.tile(together, (count, 1)), axis=1)
        apart = dealt[:, len(first) :].mean(axis=1) - dealt[:, : len(first)].mean(axis=1)
        # Of two deals that are the same sum in another order, rounding must not part them.
        as_far += int((np.abs(apart) >= seen * (1 - 1e-9)).sum())
        left -= count
    return (1 + as_far) / (1 + deals)


def _interval(
    first: Times, second: Times, rng: np.random.Generator, draws: int = 1999
) -> tuple[float, float]:
    means = [
        side[rng.integers(0, len(side), (draws, len(side)))].mean(axis=1)
        for side in (first, second)
    ]
    low, high = np.expm1(np.percentile(means[1] - means[0], [2.5, 97.5]))
    return float(low), float(high)


def judge(
    found: Sequence[Difference], alpha: float = ALPHA, least: float = LEAST
) -> list[Difference]:
    """Verdicts for all figures of a comparison; less of a figure is better."""
    told = [d for d in found if not d.why]
    corrected = holm([max(d.p, d.p_against if d.p_against == d.p_against else 0) for d in told])
    verdicts = {id(d): _verdict(d, p <= alpha, least) for d, p in zip(told, corrected, strict=True)}
    return [replace(d, verdict=verdicts.get(id(d), UNTOLD)) for d in found]


def _verdict(found: Difference, beyond_chance: bool, least: float) -> str:
    changes = [found.change]
    if found.p_against == found.p_against:
        changes.append(found.against)
    one_way = all(c > least for c in changes) or all(c < -least / (1 + least) for c in changes)
    if not (beyond_chance and one_way):
        return NOISE
    return WORSE if found.change > 0 else BETTER


def holm(p: Sequence[float]) -> list[float]:
    """p corrected for their number, by Holm's step-down method."""
    order, worst = np.argsort(p), 0.0
    corrected = [1.0] * len(p)
    for rank, place in enumerate(order):
        worst = max(worst, (len(p) - rank) * p[place])
        corrected[place] = min(1.0, worst)
    return corrected
