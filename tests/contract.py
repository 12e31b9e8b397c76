"""One verifier of the streaming contract, for every stage and for the whole path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.streaming import Floats, Stage, run_in_chunks


def verify_contract(
    make: Callable[[], Stage], x: Floats, unit: int = 1, examples: int = 12, tolerance: float = 0.0
) -> Floats:
    """Check a stage against the contract; return its output over `x` in one block.

    Parameters
    ----------
    make : a fresh stage.
    x : input, `(n, ...)`; blocks are cut at any row.
    unit : output rows per completed input unit, for the causality check's slack.
    examples : random chunkings to try.
    tolerance : 0 where it is the same code on the same values: not one bit may differ.
    """
    stage = make()
    whole = stage.step(x)
    assert whole.dtype == np.float32
    _any_chunking(stage, x, whole, examples, tolerance)
    _reset_is_fresh(stage, x, whole, tolerance)
    _future_changes_nothing(make, x, whole, tolerance)
    _shapes_stay(make, x, whole)
    return whole


def _any_chunking(stage: Stage, x: Floats, whole: Floats, examples: int, tolerance: float) -> None:
    sizes = st.lists(st.integers(0, max(2, len(x) // 3)), max_size=40)

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True)
    @given(sizes)
    def check(chunks: list[int]) -> None:
        stage.reset()
        same(run_in_chunks(stage, x, chunks), whole, tolerance)

    check()
    stage.reset()
    same(run_in_chunks(stage, x, [1] * min(len(x), 50)), whole, tolerance)


def _reset_is_fresh(stage: Stage, x: Floats, whole: Floats, tolerance: float) -> None:
    stage.reset()
    stage.step(x[::-1].copy())
    stage.reset()
    same(stage.step(x), whole, tolerance)


def _future_changes_nothing(
    make: Callable[[], Stage], x: Floats, whole: Floats, tolerance: float
) -> None:
    for cut in (len(x) // 3, len(x) // 2):
        past = make().step(x[:cut])
        other = np.concatenate([x[:cut], -3 * x[cut:] + 1]).astype(np.float32)
        # Output of a prefix is a prefix of the output, whatever follows.
        same(make().step(other)[: len(past)], past, tolerance)
        same(whole[: len(past)], past, tolerance)


def _shapes_stay(make: Callable[[], Stage], x: Floats, whole: Floats) -> None:
    stage = make()
    empty = stage.step(x[:0])
    assert empty.dtype == whole.dtype
    assert empty.shape == (0, *whole.shape[1:])


def same(got: Floats, wanted: Floats, tolerance: float) -> None:
    assert got.shape == wanted.shape
    if tolerance:
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)
    else:
        np.testing.assert_array_equal(got, wanted)
