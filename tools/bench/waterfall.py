"""The time of a hop as pieces that follow one another and sum to the whole.

taken -> pushed -> available -> started -> stages -> handed over -> heard. The ends of the chain,
and `pushed`, are the outlet's own notes and the captured sound; what lies between are the record's
stamps, which only divide the whole among the pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.bench.parts import Piece
from tools.bench.rounds import Times

STAMPS = (
    "taken",
    "pushed",
    "available",
    "started",
    "front_end",
    "encoder",
    "decoder",
    "vocoder",
    "limiter",
    "handed_over",
    "heard",
)
PIECES = {
    "pushed": ("packet", "algorithmic", "an amplifier that sends smaller packets"),
    "available": ("transport", "transport", "a faster way from the amplifier"),
    "started": ("waiting", "compute", "hops of one packet stand in line: faster stages"),
    "front_end": ("front_end", "compute", ""),
    "encoder": ("encoder", "compute", ""),
    "decoder": ("decoder", "compute", ""),
    "vocoder": ("vocoder", "compute", ""),
    "limiter": ("limiter", "compute", ""),
    "handed_over": ("handing_over", "compute", ""),
    "heard": (
        "playout",
        "buffer",
        "a smaller playout delay (`playout.target_ms`) and sound buffer",
    ),
}
"""What leads to each stamp: name, part, what would take it away."""


def stamps_of(hops: NDArray[np.void], sent: Times, heard: Times) -> dict[str, Times]:
    """The stamps of each hop, s on the monotonic clock; NaN where unknown.

    Parameters
    ----------
    hops : records of `realtime.record.layout.HOP`.
    sent : `(packets, 2)` of the outlet: timestamp of the last sample, when it was pushed.
    heard : `(hops,)` when each hop's first sample was heard.
    """
    packet = np.searchsorted(sent[:, 0], hops["lsl_time"] - 1e-9)
    pushed = np.full(len(hops), np.nan)
    pushed[packet < len(sent)] = sent[packet[packet < len(sent)], 1]
    own = {name: hops[name].astype(np.float64) for name in STAMPS[2:-1]}
    return {"taken": hops["lsl_time"].astype(np.float64), "pushed": pushed, **own, "heard": heard}


def pieces_ms(stamps: Mapping[str, Times]) -> dict[str, Times]:
    """The pieces of each hop, ms, in order; they sum to `heard - taken` exactly."""
    return {
        PIECES[after][0]: 1e3 * (stamps[after] - stamps[before])
        for before, after in pairwise(STAMPS)
    }


def mean_pieces(pieces: Mapping[str, Times]) -> list[Piece]:
    """Mean of each piece over the hops for which all are known: means, unlike medians, sum."""
    whole = np.isfinite(np.stack(list(pieces.values()))).all(axis=0)
    about = {name: (part, remedy) for name, part, remedy in PIECES.values()}
    return [
        Piece(name, float(values[whole].mean()) if whole.any() else 0.0, *about[name])
        for name, values in pieces.items()
    ]


def one_hop(pieces: Mapping[str, Times]) -> dict[str, Any]:
    """The hop whose whole is nearest to the median's: its index and pieces, ms."""
    total = np.sum(np.stack(list(pieces.values())), axis=0)
    if not np.isfinite(total).any():
        return {}
    middle = int(np.nanargmin(np.abs(total - np.nanmedian(total))))
    return {
        "hop": middle,
        "pieces_ms": {name: round(float(values[middle]), 4) for name, values in pieces.items()},
        "total_ms": round(float(total[middle]), 4),
    }
