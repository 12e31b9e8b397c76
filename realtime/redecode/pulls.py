"""What arrives, pull by pull, and how it is played to a session's core on a virtual clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from models.streaming import Floats
from realtime.pipeline import Hop
from realtime.redecode.offline import Offline
from realtime.session_core import SessionCore

MAX_PULL = 256
"""Rows of one pull at most, as the live inlet takes them."""


@dataclass(frozen=True)
class Pull:
    """One pull of the live loop: a block of samples, or, without rows, that none came.

    `samples` `(n, contacts)` float32, microvolts, montage order; `timestamps` `(n,)`, the sender's
    clock, s; `available`, when it was here, s; `stream`, how many streams had taken another's
    place by then; `gain_db`, the operator's gain in force, None for as it is.
    """

    samples: Floats
    timestamps: NDArray[np.float64]
    available: float
    stream: int = 0
    gain_db: float | None = None


def play(
    pulls: Iterable[Pull], core: SessionCore, pipeline: Offline, seconds: float | None = None
) -> Iterator[Hop]:
    """The hops of a session, one after another; the same object, filled again for each.

    Exactly what the live loop asks of core and pipeline, in its order: a stream that takes
    another's place, the operator's gain, then the block. What follows the last hop of `seconds`
    is left undecoded, as there.
    """
    last = inf if seconds is None else ceil(seconds / float(pipeline.clock.hop))
    stream, gain_db, hops, now = 0, pipeline.limiter.gain_db, 0, 0.0
    for pull in pulls:
        now = pull.available
        if pull.stream != stream:
            stream = pull.stream
            core.connected(now)
        if pull.gain_db is not None and pull.gain_db != gain_db:
            gain_db = pull.gain_db
            pipeline.amplify(gain_db)
        if not len(pull.timestamps):
            core.silence(now)
            continue
        for hop in core.feed(pull):
            hops += 1
            yield hop
            if hop.index + 1 >= last:
                core.stop(f"after {hops} hops", now)
                return
    core.stop(f"after {hops} hops", now)


def masked(samples: Floats, columns: NDArray[np.intp], unused: NDArray[np.bool_]) -> Floats:
    """Columns of `(n, channels)` in montage order, NaN where `unused` `(contacts,)`.

    As the inlet gives a contact that was given up: the guard masks it from the first sample on.
    """
    if samples.shape[1] == len(columns) and np.array_equal(columns, np.arange(len(columns))):
        out = samples if samples.dtype == np.float32 else samples.astype(np.float32)
    else:
        out = np.ascontiguousarray(samples[:, columns], dtype=np.float32)
    if unused.any():
        out = np.where(unused, np.float32(np.nan), out)
    return out
