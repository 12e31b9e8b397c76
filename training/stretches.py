"""Contiguous stretches of a training part, each a run from a cold start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from models.errors import RecordingError, SettingsError
from models.hops import HopClock
from models.streaming import Floats
from training.augment import augment
from training.seeds import generator
from training.settings import AugmentSettings


@dataclass(frozen=True)
class Part:
    """A contiguous part of a recording on its own hop grid.

    `features` is `(samples, channels)`, in memory or mapped from a file, `mel` `(hops, 80)`
    natural log; hop 0 starts at sample 0.
    """

    features: Floats
    mel: Floats
    clock: HopClock

    def cut(self, hop: int, hops: int) -> tuple[Floats, Floats]:
        """Features and mel of `hops` hops from one on; the last sample may stand for a missing one.

        A stretch's clock starts at zero, so its grid may end a sample after the part's.
        """
        first, samples = self.clock.end(hop - 1), self.clock.end(hops - 1)
        features = np.asarray(self.features[first : first + samples])
        if len(features) < samples:
            features = np.pad(features, ((0, samples - len(features)), (0, 0)), mode="edge")
        return features, self.mel[hop : hop + hops]


@dataclass(frozen=True)
class Shard:
    """Which rows of every global batch this process computes."""

    rank: int = 0
    world: int = 1

    def rows(self, batch: int) -> slice:
        """Its rows.

        Raises
        ------
        SettingsError
            If the batch cannot be split evenly.
        """
        if batch % self.world:
            raise SettingsError(
                f"a batch of {batch} stretches over {self.world} processes",
                "a multiple of the number of processes",
                "change the phase's batch, or machine.devices and num_nodes",
            )
        each = batch // self.world
        return slice(self.rank * each, (self.rank + 1) * each)


class Stretches(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches of random stretches: features `(batch, samples, channels)`, mel.

    A stretch starts on a hop of its part and is its own run: its hop clock starts at zero, which
    moves its grid against the part's by less than a sample. Batches follow from the seed alone.
    One pass gives `chunk` batches and goes on where the last complete pass ended.

    Parameters
    ----------
    parts : training parts.
    hops : per stretch.
    batch : stretches per batch, over all processes.
    batches : of the whole training.
    seed : of all draws.
    chunk : batches per pass; all if 0.
    first : batches to leave out, those that an interrupted training has seen.
    shard : this process's share of each batch.
    changes : augmentation.

    Raises
    ------
    RecordingError
        If no part is long enough for a stretch.
    SettingsError
        If the batch cannot be split over the processes.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        hops: int,
        batch: int,
        batches: int,
        seed: int,
        *,
        chunk: int = 0,
        first: int = 0,
        shard: Shard | None = None,
        changes: AugmentSettings | None = None,
    ) -> None:
        self.hops, self.batch, self.batches, self.seed = hops, batch, batches, seed
        self._parts, self._next = list(parts), first
        self._chunk = chunk or batches
        self._rows = (shard or Shard()).rows(batch)
        self._changes = changes or AugmentSettings()
        starts = [(i, k) for i, p in enumerate(parts) for k in range(len(p.mel) - hops)]
        if not starts:
            longest = max((len(p.mel) for p in parts), default=0)
            raise RecordingError(
                f"the longest training part has {longest} hops",
                f"more than {hops}, one stretch",
                "give more data or set optimiser.stretch_hops lower",
            )
        self._starts: NDArray[np.int64] = np.array(starts)
        self.samples = parts[0].clock.end(hops - 1)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        stop = min(self._next + self._chunk, self.batches)
        for number in range(self._next, stop):
            yield self.numbered(number)
        self._next = stop

    def numbered(self, number: int) -> tuple[Tensor, Tensor]:
        """This process's rows of batch `number`."""
        rng = np.random.default_rng([self.seed, number])
        pairs = [self._parts[i].cut(int(k), self.hops) for i, k in self._choose(rng)[self._rows]]
        features = torch.from_numpy(np.stack([features for features, _ in pairs]))
        changed = self._changed(features, number)
        return changed, torch.from_numpy(np.stack([mel for _, mel in pairs]))

    def _choose(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Part and first hop of every stretch of a batch, `(batch, 2)`."""
        return self._starts[rng.integers(len(self._starts), size=self.batch)]

    def _changed(self, features: Tensor, number: int) -> Tensor:
        if self._changes == AugmentSettings():
            return features
        fs = self._parts[0].clock.fs
        # One generator per stretch, so that processes draw what one process would.
        places = range(self._rows.start, self._rows.stop)
        rngs = [generator(self.seed, "augment", number, place) for place in places]
        return torch.cat(
            [
                augment(one[None], self._changes, fs, rng)
                for one, rng in zip(features, rngs, strict=True)
            ]
        )


class Tiles:
    """Consecutive stretches, in batches: every hop but the first few is beyond `warm` once.

    Each overlaps the one before by `warm` hops, so that concatenating what follows the warm hops
    gives the part back, but for an end shorter than a tile.
    """

    def __init__(self, parts: Sequence[Part], hops: int, warm: int, batch: int) -> None:
        step = hops - warm
        self._places = [
            (part, hop) for part in parts for hop in range(0, len(part.mel) - hops + 1, step)
        ]
        self._hops, self._batch = hops, batch

    def __len__(self) -> int:
        return ceil(len(self._places) / self._batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, len(self._places), self._batch):
            places = self._places[first : first + self._batch]
            features, mel = zip(*(part.cut(hop, self._hops) for part, hop in places), strict=True)
            yield torch.from_numpy(np.stack(features)), torch.from_numpy(np.stack(mel))
