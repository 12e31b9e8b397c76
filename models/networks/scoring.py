"""Attention scores with their gradients written out, for `models.networks.attended_step`.

The equations are those of `models.networks.attention`: additive with location keys (Chorowski et
al. 2015, eq. 9), scaled dot products (Vaswani et al. 2017, eq. 1), or nothing but age.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Scored(NamedTuple):
    """What scores are made of; as gradients, None where there are none.

    Parameters
    ----------
    query : `(batch, size)`.
    keys : of the frames and their ages together, `(batch, places, size)`.
    previous : the last alignment, moved along with its frames, `(batch, places)`.
    located : last alignment to location keys, `(places * size, places)`.
    weight : of the additive form, `(size,)`.
    """

    query: Tensor | None
    keys: Tensor | None
    previous: Tensor | None
    located: Tensor | None
    weight: Tensor | None


class Scoring(Protocol):
    """Scores forward and back."""

    def forward(
        self, query: Tensor, keys: Tensor, age_keys: Tensor, previous: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Energies that broadcast to `(batch, places)`, and what `backward` needs."""

    def backward(
        self, to_energy: Tensor, kept: Tensor, query: Tensor, previous: Tensor, *weights: Tensor
    ) -> Scored:
        """Gradients; that of `keys` is also that of `age_keys`."""


class Additive:
    """`weight . tanh(query + keys + age_keys + located previous)`."""

    def forward(
        self, query: Tensor, keys: Tensor, age_keys: Tensor, previous: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Scoring`."""
        located, weight = weights
        inner = torch.add(keys, query[:, None]).add_(age_keys)
        inner.view(len(query), -1).addmm_(previous, located.t())
        inner.tanh_()
        return inner @ weight, inner

    def backward(
        self, to_energy: Tensor, kept: Tensor, query: Tensor, previous: Tensor, *weights: Tensor
    ) -> Scored:
        """See `Scoring`."""
        located, weight = weights
        to_weight = kept.flatten(0, 1).t() @ to_energy.flatten()
        # (1 - tanh^2) * gradient, in torch's own fused form.
        outer = to_energy[:, :, None] * weight
        into = torch.ops.aten.tanh_backward(outer, kept)
        flat = into.view(len(previous), -1)
        return Scored(into.sum(1), into, flat @ located, (previous.t() @ flat).t(), to_weight)


class Product:
    """`query . (keys + age_keys) / sqrt(size)`."""

    def forward(
        self, query: Tensor, keys: Tensor, age_keys: Tensor, previous: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Scoring`."""
        seen = keys + age_keys
        return torch.bmm(query[:, None], seen.transpose(1, 2))[:, 0] / math.sqrt(
            keys.shape[2]
        ), seen

    def backward(
        self, to_energy: Tensor, kept: Tensor, query: Tensor, previous: Tensor, *weights: Tensor
    ) -> Scored:
        """See `Scoring`."""
        to_score = to_energy / math.sqrt(kept.shape[2])
        to_query = torch.bmm(to_score[:, None], kept)[:, 0]
        return Scored(to_query, to_score[:, :, None] * query[:, None], None, None, None)


class Constant:
    """Nothing: what remains is age."""

    def forward(
        self, query: Tensor, keys: Tensor, age_keys: Tensor, previous: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Scoring`."""
        return previous.new_zeros(1), previous.new_zeros(0)

    def backward(
        self, to_energy: Tensor, kept: Tensor, query: Tensor, previous: Tensor, *weights: Tensor
    ) -> Scored:
        """See `Scoring`."""
        return Scored(None, None, None, None, None)


def scoring(query_size: int, weights: int) -> Scoring:
    """The form with a query of so many numbers (0: none) and so many weights of its own."""
    if not query_size:
        return Constant()
    return Additive() if weights else Product()
