"""Decoded hops against those that a session recorded, bit for bit, by the number of the hop."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from models.mel import VOCODER_HOP
from realtime.record.reading import open_session
from realtime.redecode.batches import Batch
from realtime.redecode.session import DECODED

TIMES = ("first_sample", "last_sample", "lsl_time", "available", "due")
COUNTS = ("masked", "bridged", "finite")
"""What of a hop's row follows from the pulls alone; the rest follows the wall clock."""


@dataclass
class Comparison:
    """How far decoded hops are from recorded ones.

    `differing` counts hops per quantity (only those that differ are named), `differing_hops` those
    with any; `missing_hops` were recorded and not decoded now, `extra_hops` the other way round;
    `max_abs_mel` (nepers) and `max_abs_audio` (of full scale) are the largest departures;
    `first_differing_hop` is -1 if there is none.
    """

    recorded_hops: int = 0
    compared_hops: int = 0
    missing_hops: int = 0
    extra_hops: int = 0
    differing_hops: int = 0
    first_differing_hop: int = -1
    differing: dict[str, int] = field(default_factory=dict)
    max_abs_mel: float = 0.0
    max_abs_audio: float = 0.0
    extra_allowed: bool = False

    @property
    def identical(self) -> bool:
        """Whether every recorded hop came out again with the same bits, and no other.

        A decoder that was killed leaves hops of its last block unrecorded: those may be extra.
        """
        more = self.extra_hops and not self.extra_allowed
        return not (self.differing_hops or self.missing_hops or more)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = asdict(self)
        del plain["extra_allowed"]
        return {"identical": self.identical, **plain}


class Recorded:
    """The hops of a session, read some hundreds at a time and compared.

    Parameters
    ----------
    folder : of the session.
    contacts : whether masks are of the same contacts, and can be compared.
    """

    def __init__(self, folder: Path, contacts: bool) -> None:
        self._open = open_session(folder)
        self._file: h5py.File = self._open.__enter__()
        self._index = self._file["hops/times"].fields("index")[()]
        self._contacts = contacts
        ended = str(self._file.attrs["ended"])
        self.found = Comparison(
            recorded_hops=len(self._index), extra_allowed=ended not in ("closed", DECODED)
        )

    def __enter__(self) -> Recorded:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, batch: Batch) -> None:
        """Compare decoded hops; each call goes on from the one before."""
        mine = batch.rows["index"]
        places = np.searchsorted(self._index, mine)
        there = np.isin(mine, self._index)
        self.found.extra_hops += int(np.count_nonzero(~there))
        if not there.any():
            return
        low, high = int(places[there][0]), int(places[there][-1]) + 1
        rows = places[there] - low
        odd = np.zeros(len(rows), np.bool_)
        for name, (ours, theirs) in self._pairs(batch, there, low, high, rows).items():
            differs = _bits_differ(ours, theirs)
            odd |= differs
            if differs.any():
                count = self.found.differing.get(name, 0)
                self.found.differing[name] = count + int(differs.sum())
        self._sum_up(mine[there], odd)

    def conclude(self) -> Comparison:
        """What was found, once everything is decoded."""
        self.found.missing_hops = self.found.recorded_hops - self.found.compared_hops
        return self.found

    def _pairs(
        self,
        batch: Batch,
        there: NDArray[np.bool_],
        low: int,
        high: int,
        rows: NDArray[np.intp],
    ) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Decoded and recorded values of the same hops, by name."""
        part = slice(low, high)
        times, mel = self._file["hops/times"][part][rows], self._file["mel"][part][rows]
        sound = self._file["audio/handed"][low * VOCODER_HOP : high * VOCODER_HOP]
        audio = sound.reshape(-1, VOCODER_HOP)[rows]
        found = self.found
        found.max_abs_mel = max(found.max_abs_mel, _largest(batch.mel[there] - mel))
        found.max_abs_audio = max(found.max_abs_audio, _largest(batch.audio[there] - audio))
        pairs: dict[str, tuple[NDArray[Any], NDArray[Any]]]
        pairs = {"mel": (batch.mel[there], mel), "audio": (batch.audio[there], audio)}
        if self._contacts:
            pairs["mask"] = (batch.mask[there], self._file["hops/mask"][part][rows])
        named = {n: (batch.rows[n][there], times[n]) for n in (*TIMES, *COUNTS)}
        return {**pairs, **named}

    def _sum_up(self, index: NDArray[np.int64], odd: NDArray[np.bool_]) -> None:
        found = self.found
        found.compared_hops += len(index)
        found.differing_hops += int(odd.sum())
        if odd.any() and found.first_differing_hop < 0:
            found.first_differing_hop = int(index[np.argmax(odd)])


def _bits_differ(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows differ in any bit: NaN equals itself, and 0.0 is not -0.0."""
    size = len(ours)
    a, b = (np.ascontiguousarray(x).view(np.uint8).reshape(size, -1) for x in (ours, theirs))
    differs: NDArray[np.bool_] = (a != b).any(axis=1)
    return differs


def _largest(difference: NDArray[np.float32]) -> float:
    return float(np.nanmax(np.abs(difference), initial=0.0))


def versions_that_differ(
    recorded: dict[str, Any], now: dict[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Processor, system and versions of a record against this machine's: (then, now)."""
    then_versions, now_versions = (e.get("versions") or {} for e in (recorded, now))
    pairs = {key: (recorded.get(key), now.get(key)) for key in ("cpu", "system")}
    names = {*then_versions, *now_versions}
    pairs |= {name: (then_versions.get(name), now_versions.get(name)) for name in sorted(names)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
