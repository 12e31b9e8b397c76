"""How a total stride is shared out among three layers."""

from __future__ import annotations


def split_stride(stride: int) -> tuple[int, int, int]:
    """Three factors of `stride`, the largest first: early decimation keeps the step cheap.

    >>> split_stride(10), split_stride(20), split_stride(41)
    ((5, 2, 1), (5, 2, 2), (41, 1, 1))
    """
    factors, rest, divisor = [], stride, 2
    while rest > 1:
        while rest % divisor == 0:
            factors.append(divisor)
            rest //= divisor
        divisor += 1
    factors.sort(reverse=True)
    while len(factors) > 3:
        smallest = factors.pop()
        factors[-1] *= smallest
        factors.sort(reverse=True)
    first, second, third = (*factors, 1, 1, 1)[:3]
    return first, second, third
