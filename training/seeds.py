"""Random numbers that follow from seed and place alone.

What a step draws depends on the seed, the phase, the step and (for dropout) the process, never on
what was drawn before: a resumed training draws what the uninterrupted one would have drawn, and
several processes can draw the same batch.
"""

from __future__ import annotations

import numpy as np
import torch


def mixed(seed: int, *place: int | str) -> int:
    """A 63-bit seed for a place: SeedSequence's hash of all its parts (O'Neill 2015)."""
    words = [int.from_bytes(p.encode(), "little") if isinstance(p, str) else p for p in place]
    state = np.random.SeedSequence([seed, *words]).generate_state(2, np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


def generator(seed: int, *place: int | str) -> torch.Generator:
    """A CPU generator for a place."""
    return torch.Generator().manual_seed(mixed(seed, *place))
