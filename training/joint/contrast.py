"""Embeddings close within a patient, far apart across patients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALL = 1e-6
"""Length below which an embedding has no direction."""
TINY = 1e-12
"""Under a root, so that equal embeddings have a gradient: none."""


def contrastive(embeddings: Tensor, patients: Tensor, margin: float) -> Tensor:
    """The contrastive loss of a batch (Hadsell, Chopra & LeCun 2006, eq. 4).

    Half the squared distance `D` of a pair of one patient; half of `max(0, margin - D)` squared
    of a pair of two. Each kind is a mean over its pairs, so that neither outweighs the other.

    Kohler et al. 2022 say that embeddings are drawn together within a patient and apart across
    patients, and sum distances. A sum that is to be lowered would draw patients together as well,
    and one that subtracts what is across has no lowest value: the margin bounds it by zero.

    Distances are between directions, on the sphere of length one (as Schroff et al. 2015): what is
    drawn together must not be drawn to zero, since the decoder lives on how far frames move. On
    raw distances a weight that parted two simulated patients as clearly cost them speech-only r;
    on distances over their own mean the encoder fell silent.

    Parameters
    ----------
    embeddings : `(batch, size)`.
    patients : `(batch,)`, whose each is.
    margin : chord from which two patients are far enough apart; 2 is opposite, 1 stands at 60
        degrees.
    """
    unit = F.normalize(embeddings, dim=1, eps=SMALL)
    squared = ((unit[:, None] - unit[None]) ** 2).sum(2)
    first, second = torch.triu_indices(len(patients), len(patients), 1, device=patients.device)
    squared, same = squared[first, second], patients[first] == patients[second]
    short = (margin - torch.sqrt(squared + TINY)).clamp_min(0) ** 2
    return (_mean(squared, same) + _mean(short, ~same)) / 2


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp_min(1)


@contextmanager
def watched(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """The encoder's frames of every pass within the block, before anything drops from them."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: tuple[Tensor, Any]) -> None:
        seen.append(output[0])

    hook = encoder.register_forward_hook(keep, prepend=True)
    try:
        yield seen
    finally:
        hook.remove()


def embedding(frames: Tensor, batch: int) -> Tensor:
    """The mean encoder frame of each stretch, `(batch, size)`.

    Parameters
    ----------
    frames : `(batch, ticks, size)`, or `(batch * windows, ticks, size)` where the encoder sees
        windows.
    batch : stretches.
    """
    return frames.float().reshape(batch, -1, frames.shape[2]).mean(1)
