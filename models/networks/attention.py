"""Location-sensitive additive attention over the newest encoder frames.

Bahdanau et al. 2015 (additive scores), Chorowski et al. 2015 eq. 8-9 (location features: a
convolution over the previous alignment). Position is the *age* of a frame: sinusoidal channels
(Vaswani et al. 2017, section 3.5) joined to each frame in memory.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.networks.position import age_channels
from models.spec import NetworkSpec

RECENCY = 0.3
"""Energy lost per frame of age at the start of training."""


class Attention(nn.Module):
    """Weights over `memory` places, oldest first; unfilled places are masked, never attended.

    Parameters
    ----------
    spec : network shapes.
    places : frames in memory (20 for 200 ms at 1024 Hz).
    """

    def __init__(self, spec: NetworkSpec, places: int) -> None:
        super().__init__()
        self.places = places
        self.query = nn.Linear(spec.decoder_size, spec.attention_size)
        self.key = nn.Linear(spec.encoder_size, spec.attention_size, bias=False)
        self.key_of_age = nn.Linear(spec.position_channels, spec.attention_size, bias=False)
        # Starts from a preference for new frames: a uniform start blurs by half the memory, and
        # minutes of speech are not enough to learn better.
        recency = -RECENCY * torch.arange(places - 1, -1, -1, dtype=torch.float32)
        self.energy_of_age = nn.Parameter(recency)
        self.register_buffer("ages", age_channels(places, spec.position_channels))
        self.ages: Tensor
        self.location_sensitive = spec.attention == "location"
        if self.location_sensitive:
            self.location = nn.Conv1d(
                1, spec.location_filters, spec.location_kernel, padding="same", bias=False
            )
            self.location_key = nn.Linear(spec.location_filters, spec.attention_size, bias=False)
        self.score = nn.Linear(spec.attention_size, 1, bias=False)

    def keys(self, frames: Tensor) -> Tensor:
        """The part of the score that depends on frames alone, `(..., attention_size)`; cached."""
        return self.key(frames)  # type: ignore[no-any-return]

    def forward(
        self, query: Tensor, memory: Tensor, keys: Tensor, valid: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Context `(batch, size + position channels)` and alignment `(batch, places)`.

        Parameters
        ----------
        query : decoder state, `(batch, decoder_size)`.
        memory, keys : `(batch, places, ...)`, oldest first.
        valid : `(batch, places)`, 1 where filled, 0 where not.
        previous : the last alignment, moved along with the frames it looked at.
        """
        hidden = self.query(query)[:, None] + keys + self.key_of_age(self.ages)
        if self.location_sensitive:
            located = self.location(previous[:, None]).transpose(1, 2)
            hidden = hidden + self.location_key(located)
        energy = self.score(torch.tanh(hidden))[:, :, 0] + self.energy_of_age
        # A finite bar keeps softmax defined while nothing is filled; those weights then go to zero.
        energy = energy + (valid - 1.0) * 1e4
        alignment = torch.softmax(energy, 1) * valid
        context = torch.bmm(alignment[:, None], memory)[:, 0]
        return torch.cat([context, alignment @ self.ages], 1), alignment


class DotAttention(Attention):
    """The dot-product form: scaled products of query and key (Vaswani et al. 2017, eq. 1)."""

    def forward(
        self, query: Tensor, memory: Tensor, keys: Tensor, valid: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Attention.forward`."""
        key = keys + self.key_of_age(self.ages)
        energy = torch.bmm(key, self.query(query)[:, :, None])[:, :, 0]
        energy = energy / math.sqrt(key.shape[-1]) + self.energy_of_age + (valid - 1.0) * 1e4
        alignment = torch.softmax(energy, 1) * valid
        context = torch.bmm(alignment[:, None], memory)[:, 0]
        return torch.cat([context, alignment @ self.ages], 1), alignment
