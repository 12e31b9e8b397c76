"""Contiguous stretches of a training part, each a run from a cold start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from models.errors import RecordingError
from models.hops import HopClock
from models.streaming import Floats


@dataclass(frozen=True)
class Part:
    """A contiguous part of a recording on its own hop grid.

    `features` is `(samples, channels)`, `mel` `(hops, 80)` natural log; hop 0 starts at sample 0.
    """

    features: Floats
    mel: Floats
    clock: HopClock


class Stretches(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless batches of random stretches: features `(batch, samples, channels)`, mel.

    A stretch starts on a hop of its part and is its own run: its hop clock starts at zero, which
    moves its grid against the part's by less than a sample. Batches follow from the seed alone.

    Raises
    ------
    RecordingError
        If no part is long enough for a stretch.
    """

    def __init__(self, parts: list[Part], hops: int, batch: int, batches: int, seed: int) -> None:
        self.hops, self.batch, self.batches, self.seed = hops, batch, batches, seed
        self._parts = parts
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

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng(self.seed)
        for _ in range(self.batches):
            chosen = self._starts[rng.integers(len(self._starts), size=self.batch)]
            pairs = [self._cut(self._parts[i], int(k)) for i, k in chosen]
            yield (
                torch.from_numpy(np.stack([features for features, _ in pairs])),
                torch.from_numpy(np.stack([mel for _, mel in pairs])),
            )

    def _cut(self, part: Part, hop: int) -> tuple[Floats, Floats]:
        first = part.clock.end(hop - 1)
        # The part's own grid may end a sample before the stretch's: the last sample stands in.
        index = np.minimum(np.arange(first, first + self.samples), len(part.features) - 1)
        return part.features[index], part.mel[hop : hop + self.hops]
