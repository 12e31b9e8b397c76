"""The streaming contract: what every stage of the path promises.

For every stage, and for the whole path, with `run` the whole signal in one block::

    run(x) == concatenate(step(block) for block in any chunking of x)

Output may describe input that lies `latency` seconds back: the stage's own look-ahead.
`tests/contract.py` checks it, for every stage, under any chunking.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Stage(Protocol):
    """One stage of the path: blocks in, blocks out, state carried between them."""

    @property
    def latency(self) -> Fraction:
        """Look-ahead of this stage alone, in seconds."""
        ...

    def step(self, block: Floats) -> Floats:
        """Consume a block, shape `(n, inputs)` or `(n,)`, n >= 0; return what is complete."""
        ...

    def reset(self) -> None:
        """Return to the state of a fresh object."""
        ...


def total_latency(stages: Iterable[Stage]) -> Fraction:
    """Sum of the stages' look-ahead, in seconds; never typed by hand."""
    return sum((stage.latency for stage in stages), Fraction(0))


def run_in_chunks(stage: Stage, x: NDArray[Any], sizes: Iterable[int]) -> Floats:
    """Step `stage` over `x` in blocks of the given sizes, the rest in a last block.

    Returns the concatenated output; the stage is not reset before.
    """
    parts, start = [], 0
    for size in sizes:
        if start >= len(x):
            break
        parts.append(stage.step(x[start : start + size]))
        start += size
    parts.append(stage.step(x[start:]))
    return np.concatenate(parts)
