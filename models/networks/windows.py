"""How a network that is not causal sees a recording: in windows, each decoded by itself.

Windows of `memory_ms` follow one another. The hops that fit into one (13 in 200 ms) are decoded one
after the other from a cold start, each attending to all encoder frames of the window and of its
context, past and future. Training cuts stretches that begin at any hop, so it meets windows every
15 ms, overlapping; a recording is decoded by windows that abut (Kohler et al. 2022: hop 15 ms in
training, a window in testing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.attention import Ages


@dataclass(frozen=True)
class Windows:
    """The windows of one run, `count` of `hops` hops; times in encoder ticks (frames).

    Parameters
    ----------
    ticks : encoder ticks complete at the end of each hop of the run.
    hops : hops per window.
    frames : encoder frames per window.
    context : windows before and after it that are seen too.
    """

    ticks: Sequence[int]
    hops: int
    frames: int
    context: tuple[int, int]

    @property
    def count(self) -> int:
        """Number of windows; the last may reach beyond the run."""
        return -(-len(self.ticks) // self.hops)

    @property
    def places(self) -> int:
        """Encoder frames in memory: of the window and its context."""
        return self.frames * (1 + sum(self.context))

    @property
    def starts(self) -> list[int]:
        """First tick of each window's memory, negative before the run."""
        firsts = [0, *(self.ticks[w * self.hops - 1] for w in range(1, self.count))]
        return [first - self.context[0] * self.frames for first in firsts]

    @property
    def ends(self) -> Tensor:
        """Frames of its memory complete at the end of each hop, `(windows, hops)`."""
        last = len(self.ticks) - 1
        rows = [
            [self.ticks[min(w * self.hops + k, last)] - start for k in range(self.hops)]
            for w, start in enumerate(self.starts)
        ]
        return torch.tensor(rows).clamp(1, self.places)

    def cut(self, features: Tensor, stride: int) -> Tensor:
        """`(batch, samples, channels)` to `(batch * windows, places * stride, channels)`."""
        length, first = self.places * stride, -self.starts[0] * stride
        after = max(0, self.starts[-1] * stride + length - features.shape[1])
        padded = F.pad(features, (0, 0, first, after))
        begins = [start * stride + first for start in self.starts]
        return torch.stack([padded[:, b : b + length] for b in begins], 1).flatten(0, 1)

    def valid(self, ticks: int) -> Tensor:
        """1 where a frame lies within a run of so many ticks, `(windows, places)`."""
        tick = torch.tensor(self.starts)[:, None] + torch.arange(self.places)
        return ((tick >= 0) & (tick < ticks)).float()

    def ages(self, table: Ages, batch: int) -> list[Ages]:
        """For each hop of a window the ages of all places, seen from that hop's end."""
        place = torch.arange(self.places)
        rows = (self.places - self.ends)[:, :, None] + place
        return [Ages(*(_rows(part, rows[:, k], batch) for part in table)) for k in range(self.hops)]

    def split(self, x: Tensor) -> Tensor:
        """`(batch, hops of the run, ...)` to `(batch * windows, hops, ...)`, zeros at the end."""
        surplus = self.count * self.hops - x.shape[1]
        padded = torch.cat([x, x.new_zeros(len(x), surplus, *x.shape[2:])], 1)
        return torch.unflatten(padded, 1, (self.count, self.hops)).flatten(0, 1)

    def join(self, x: Tensor) -> Tensor:
        """`split` undone."""
        joined = torch.unflatten(x, 0, (-1, self.count)).flatten(1, 2)
        return joined[:, : len(self.ticks)]


def _rows(table: Tensor, rows: Tensor, batch: int) -> Tensor:
    """`table[rows]`, the same for every run of a batch; one row of rows serves all."""
    if bool((rows == rows[0]).all()):
        return table[int(rows[0, 0]) : int(rows[0, 0]) + rows.shape[1]]
    taken = table[rows.to(table.device)]
    return taken.repeat(batch, *[1] * (taken.dim() - 1))
