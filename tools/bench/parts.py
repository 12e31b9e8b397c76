"""What a latency is made of: what the algorithm needs, what is set, what is computed.

A hop's frame cannot be made before the hop is over, nor its sound before what the vocoder must see:
no machine is fast enough for these. A buffer is waiting that somebody set, against bursts and
stalls. Only the rest is compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.hops import HOP

HOP_MS = 1e3 * float(HOP)


@dataclass(frozen=True)
class Piece:
    """One piece of a hop's time: ms, which part it is, and what would take it away."""

    name: str
    ms: float
    part: str
    remedy: str = ""


def in_process(
    figures: Mapping[str, Mapping[str, Any]], hop: str, lookahead_ms: float
) -> dict[str, Any]:
    """The path of a hop measured without transport and playout, paced if it was."""
    pace = "paced" if f"paced.{hop}" in figures else "back_to_back"
    prefix = f"{pace}.{hop}."
    pieces = [
        Piece(name.removeprefix(prefix), figure["p50_ms"], "compute", "less of it to compute")
        for name, figure in figures.items()
        if name.startswith(prefix)
    ]
    how = f"p50 of each stage, {hop}, {pace}; without transport and playout"
    return told(pieces, algorithmic(lookahead_ms), how)


def algorithmic(lookahead_ms: float, burst_ms: float = 0.0) -> list[Piece]:
    """What comes before the first measured time, on average: the hop itself, and look-ahead."""
    pieces = [
        Piece(
            "half a hop",
            HOP_MS / 2,
            "algorithmic",
            "a shorter hop; a frame is made when its 15 ms are over, 7.5 ms after their middle",
        ),
        Piece("look-ahead", lookahead_ms, "algorithmic", "another vocoder, limiter or target"),
    ]
    if burst_ms:
        remedy = "an amplifier that sends smaller packets"
        pieces.append(Piece("mean wait for the packet", burst_ms, "algorithmic", remedy))
    return pieces


def told(measured: Sequence[Piece], before: Sequence[Piece], how: str) -> dict[str, Any]:
    """Pieces as JSON, with sums by part, and in words what would remove most."""
    everything = [*before, *measured]
    total = sum(piece.ms for piece in everything)
    sums: dict[str, float] = {}
    for piece in everything:
        sums[piece.part] = sums.get(piece.part, 0.0) + piece.ms
    return {
        "how": how,
        "measured": [asdict(piece) for piece in measured],
        "before": [asdict(piece) for piece in before],
        "total_ms": total,
        "by_part_ms": sums,
        "says": [f"{_shares(sums, total)} ({how})", *_largest(everything, total)],
    }


def _shares(sums: Mapping[str, float], total: float) -> str:
    parts = (f"{part} {ms:.2f} ms ({100 * ms / total:.0f} %)" for part, ms in sums.items())
    return f"From a contact to its sound {total:.1f} ms: {', '.join(parts)}"


def _largest(pieces: Sequence[Piece], total: float) -> list[str]:
    """The largest piece of all, and the largest that is computed."""
    first = max(pieces, key=lambda piece: piece.ms)
    said = [f"Most would go with {_named(first, total)}."]
    computed = [piece for piece in pieces if piece.part == "compute"]
    if computed:
        worst = max(computed, key=lambda piece: piece.ms)
        whole = sum(piece.ms for piece in computed)
        said.append(f"Of {whole:.2f} ms of compute most is {worst.name}, {worst.ms:.2f} ms.")
    return said


def _named(piece: Piece, total: float) -> str:
    share = f"{piece.name}, {piece.ms:.1f} ms ({100 * piece.ms / total:.0f} %)"
    return f"{share}: {piece.remedy}" if piece.remedy else share
