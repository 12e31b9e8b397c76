"""Attention over the encoder frames in memory, by what they hold and how old they are.

Bahdanau et al. 2015 (additive scores), Chorowski et al. 2015 eq. 8-9 (location features: a
convolution over the previous alignment), Vaswani et al. 2017 eq. 1 (scaled dot products). Position
is the *age* of a frame, counted back from the end of the hop that looks: sinusoidal channels
(Vaswani et al. 2017, section 3.5) joined to the context. A frame later than its hop, which only a
network that is not causal sees, has a negative age.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.networks.position import sinusoids
from models.spec import NetworkSpec

RECENCY = 2.4
"""Energy lost per frame of age, past or future, at the start of training."""


class Memory(NamedTuple):
    """`(batch, places, ...)`, oldest first: frames, their keys, and 1 where filled.

    `valid` is None where everything is filled.
    """

    frames: Tensor
    keys: Tensor
    valid: Tensor | None


class Ages(NamedTuple):
    """What follows from the ages of the places alone, `(places, ...)` or `(batch, places, ...)`."""

    channels: Tensor
    keys: Tensor
    energy: Tensor


class Attention(nn.Module):
    """Fixed, learned weights by age: what remains if attention is switched off.

    Places are oldest first; unfilled ones are masked, never attended.

    Parameters
    ----------
    spec : network shapes.
    places : frames in memory (20 for 200 ms at 1024 Hz).
    frame_size : of the encoder.
    """

    def __init__(self, spec: NetworkSpec, places: int, frame_size: int) -> None:
        super().__init__()
        self.places, self.size = places, spec.attention_size
        youngest = 0 if spec.causal else 1 - places
        age = torch.arange(places - 1, youngest - 1, -1)
        # Starts from the newest frame, with nine tenths of the weight: a uniform start blurs by
        # half the memory, and minutes of speech are not enough to learn better.
        self.energy_of_age = nn.Parameter(-RECENCY * age.abs().float())
        self.register_buffer("ages", sinusoids(age, spec.position_channels))
        self.ages: Tensor

    def keys(self, frames: Tensor) -> Tensor:
        """The part of the score that depends on frames alone, `(..., attention_size)`; cached."""
        return frames.new_zeros(*frames.shape[:-1], self.size)

    def query_of(self, hidden: Tensor) -> Tensor:
        """The part that depends on the decoder's state alone, `(batch, attention_size)`."""
        return hidden

    def query_layer(self) -> nn.Linear | None:
        """`query_of` as a layer; none if it changes nothing."""
        return None

    def age_table(self) -> Ages:
        """All ages, oldest first; from `places - 1` down to 0, or to `1 - places` if not causal."""
        return Ages(self.ages, self.keys(self.ages), self.energy_of_age)

    def locate(self, previous: Tensor) -> Tensor | None:
        """Location keys `(batch, places, attention_size)` of the previous alignment."""
        return None

    def score_weights(self) -> tuple[Tensor, ...]:
        """The weights of `models.networks.scoring`'s form of `locate` and `scores`."""
        return ()

    def scores(self, query: Tensor, keys: Tensor, located: Tensor | None) -> Tensor:
        """Energies `(batch, places)` but for those of age."""
        return keys.new_zeros(1)

    def forward(
        self, query: Tensor, memory: Memory, ages: Ages, located: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Context `(batch, size + position channels)` and alignment `(batch, places)`.

        Parameters
        ----------
        query : of the decoder's state, `(batch, attention_size)`.
        memory : what may be attended to.
        ages : of its places at this hop.
        located : location keys of the last alignment, moved along with its frames.
        """
        energy = self.scores(query, memory.keys + ages.keys, located) + ages.energy
        alignment = weights_of(energy, memory)
        return context_of(alignment, memory.frames, ages.channels), alignment


def weights_of(energy: Tensor, memory: Memory) -> Tensor:
    """Alignment `(batch, places)` of energies that broadcast to it; unfilled places get none."""
    if memory.valid is None:
        return torch.softmax(energy.expand(len(memory.frames), -1), 1)
    # A finite bar keeps softmax defined while nothing is filled; those weights then go to zero.
    alignment = torch.softmax(energy + (memory.valid - 1.0) * 1e4, 1) * memory.valid
    return alignment.expand(len(memory.frames), -1)


def context_of(alignment: Tensor, frames: Tensor, channels: Tensor) -> Tensor:
    """The frames' mean under an alignment, and that of their ages' channels, joined."""
    context = torch.bmm(alignment[:, None], frames)
    return torch.cat([context, alignment[:, None] @ channels], 2)[:, 0]


class ContentAttention(Attention):
    """Scaled products of query and key (Vaswani et al. 2017, eq. 1): the dot-product form."""

    def __init__(self, spec: NetworkSpec, places: int, frame_size: int) -> None:
        super().__init__(spec, places, frame_size)
        self.query = nn.Linear(spec.decoder_size, spec.attention_size)
        self.key = nn.Linear(frame_size, spec.attention_size, bias=False)
        self.key_of_age = nn.Linear(spec.position_channels, spec.attention_size, bias=False)
        if spec.attention == "content":
            self.register_load_state_dict_pre_hook(_without_score)  # type: ignore[no-untyped-call]

    def keys(self, frames: Tensor) -> Tensor:
        """See `Attention.keys`."""
        return self.key(frames)  # type: ignore[no-any-return]

    def query_of(self, hidden: Tensor) -> Tensor:
        """See `Attention.query_of`."""
        return self.query(hidden)  # type: ignore[no-any-return]

    def query_layer(self) -> nn.Linear | None:
        """See `Attention.query_layer`."""
        return self.query

    def age_table(self) -> Ages:
        """See `Attention.age_table`."""
        return Ages(self.ages, self.key_of_age(self.ages), self.energy_of_age)

    def scores(self, query: Tensor, keys: Tensor, located: Tensor | None) -> Tensor:
        """See `Attention.scores`."""
        return torch.bmm(keys, query[:, :, None])[:, :, 0] / math.sqrt(keys.shape[-1])


class LocationAttention(ContentAttention):
    """Additive, with location features."""

    def __init__(self, spec: NetworkSpec, places: int, frame_size: int) -> None:
        super().__init__(spec, places, frame_size)
        self.location = nn.Conv1d(
            1, spec.location_filters, spec.location_kernel, padding="same", bias=False
        )
        self.location_key = nn.Linear(spec.location_filters, spec.attention_size, bias=False)
        self.score = nn.Linear(spec.attention_size, 1, bias=False)

    def locate(self, previous: Tensor) -> Tensor | None:
        """See `Attention.locate`."""
        filtered = self.location(previous[:, None]).transpose(1, 2)
        return self.location_key(filtered)  # type: ignore[no-any-return]

    def score_weights(self) -> tuple[Tensor, ...]:
        """See `Attention.score_weights`."""
        return self.location_matrix(), self.score.weight[0]

    def location_matrix(self) -> Tensor:
        """Filters and their keys, both linear, as one matrix: a hop multiplies once."""
        kernel = self.location_key.weight @ self.location.weight[:, 0]
        taps = kernel.shape[1]
        place = torch.arange(self.places, device=kernel.device)
        tap = place[None] - place[:, None] + (taps - 1) // 2
        # Beyond the kernel stands a column of zeros.
        tap = torch.where((tap >= 0) & (tap < taps), tap, taps)
        matrix = nn.functional.pad(kernel, (0, 1))[:, tap]
        return matrix.transpose(0, 1).flatten(0, 1)

    def scores(self, query: Tensor, keys: Tensor, located: Tensor | None) -> Tensor:
        """See `Attention.scores`."""
        assert located is not None
        hidden = query[:, None] + keys + located.view(len(query), self.places, -1)
        return self.score(torch.tanh(hidden))[:, :, 0]  # type: ignore[no-any-return]


def _without_score(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
    """Weights of version 0.1 hold a layer that the dot-product form never used."""
    state.pop(f"{prefix}score.weight", None)


KINDS: dict[str, type[Attention]] = {
    "location": LocationAttention,
    "content": ContentAttention,
    "none": Attention,
}


def make_attention(spec: NetworkSpec, places: int, frame_size: int) -> Attention:
    """The attention that `spec.attention` names."""
    return KINDS[spec.attention](spec, places, frame_size)
