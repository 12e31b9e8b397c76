"""Embeddings close within a patient, far apart across patients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

TINY = 1e-12
"""Under a root, so that equal embeddings have a gradient: none."""


def contrastive(embeddings: Tensor, patients: Tensor, margin: float) -> Tensor:
    """The contrastive loss of a batch (Hadsell, Chopra & LeCun 2006, eq. 4).

    Half the squared distance `D` of a pair of one patient; half of `max(0, margin - D)` squared
    of a pair of two. Each kind is a mean over its pairs, so that neither outweighs the other.

    Kohler et al. 2022 say that embeddings are drawn together within a patient and apart across
    patients, and sum distances. A sum that is to be lowered would draw patients together as well,
    and one that subtracts what is across has no lowest value: the margin bounds it by zero.

    Parameters
    ----------
    embeddings : `(batch, size)`; their distance is the root of the mean square over the size, so
        that a margin means the same at every size.
    patients : `(batch,)`, whose each is.
    margin : distance from which two patients are far enough apart.
    """
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).mean(2)
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
