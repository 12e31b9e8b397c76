"""The causal network: what is trained is what is stepped.

Kohler et al. 2021 (sEEG to speech with an attention sequence-to-sequence model), every look into
the future taken away. Frames inside the network are normalised by the training mean and deviation
per band; `denormalise` gives WaveGlow's natural-log values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.attention import Attention, DotAttention
from models.networks.decoder import Decoder, DecoderState
from models.networks.encoder import Encoder
from models.networks.postnet import Postnet
from models.spec import NetworkSpec


class Memory(NamedTuple):
    """`(batch, places, ...)`, oldest first: frames, their keys, and 1 where filled."""

    frames: Tensor
    keys: Tensor
    valid: Tensor


class Output(NamedTuple):
    """Normalised frames `(batch, hops, bands)` before and after the post-net, and alignments."""

    before: Tensor
    after: Tensor
    alignment: Tensor


class CausalNetwork(nn.Module):
    """Features in, mel frames out, one per hop.

    Parameters
    ----------
    spec : shapes.
    channels : feature channels of the front end.
    stride : samples per encoder tick.
    places : encoder frames in the attention window.
    bands : mel bands.
    """

    def __init__(
        self, spec: NetworkSpec, channels: int, stride: int, places: int, bands: int = 80
    ) -> None:
        super().__init__()
        self.spec, self.channels, self.stride = spec, channels, stride
        self.places, self.bands = places, bands
        self.encoder = Encoder(spec, channels, stride)
        attention = (Attention if spec.attention == "location" else DotAttention)(spec, places)
        self.decoder = Decoder(spec, attention, bands)
        self.postnet = Postnet(spec, bands)
        self.register_buffer("mel_mean", torch.zeros(bands))
        self.register_buffer("mel_std", torch.ones(bands))
        self.mel_mean: Tensor
        self.mel_std: Tensor

    def normalise(self, mel: Tensor) -> Tensor:
        """Natural-log mel to network values."""
        return (mel - self.mel_mean) / self.mel_std

    def denormalise(self, frames: Tensor) -> Tensor:
        """Network values to natural-log mel."""
        return frames * self.mel_std + self.mel_mean

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Frames and keys of a whole run from a cold start; samples short of a tick are left."""
        whole = features.shape[1] // self.stride * self.stride
        state = self.encoder.initial_state(len(features))
        frames, _ = self.encoder(features[:, :whole], state)
        return frames, self.decoder.attention.keys(frames)

    def forward(
        self,
        features: Tensor,
        ticks: Sequence[int],
        teacher: Tensor | None = None,
        forced: Tensor | None = None,
    ) -> Output:
        """Decode a run from a cold start.

        Parameters
        ----------
        features : `(batch, samples, channels)`.
        ticks : encoder ticks complete at the end of each hop (`HopClock.ticks`).
        teacher : normalised true frames `(batch, hops, bands)`, fed back where `forced`.
        forced : `(hops, batch)` bool; the network's own frame is fed back elsewhere.
        """
        frames, keys = self.encode(features)
        padded, padded_keys = _pad_front(frames, self.places), _pad_front(keys, self.places)
        state, done = self.decoder.initial_state(len(features)), 0
        before, alignments = [], []
        for hop, tick in enumerate(ticks):
            memory = Memory(
                padded[:, tick : tick + self.places],
                padded_keys[:, tick : tick + self.places],
                _filled(features, tick, self.places),
            )
            state = state._replace(alignment=shift(state.alignment, tick - done))
            frame, state = self.decoder(*memory, state)
            if teacher is not None and forced is not None:
                fed = torch.where(forced[hop][:, None], teacher[:, hop], frame)
                state = state._replace(last=fed)
            before.append(frame)
            alignments.append(state.alignment)
            done = tick
        decoded = torch.stack(before, 1)
        residual, _ = self.postnet(decoded, self.postnet.initial_tails(len(features)))
        return Output(decoded, decoded + residual, torch.stack(alignments, 1))

    def decode_hop(
        self, memory: Memory, state: DecoderState, tails: list[Tensor]
    ) -> tuple[Tensor, DecoderState, list[Tensor]]:
        """One hop of inference: natural-log mel `(batch, bands)`, next state and tails."""
        frame, state = self.decoder(*memory, state)
        residual, tails = self.postnet(frame[:, None], tails)
        return self.denormalise(frame + residual[:, 0]), state, tails


def shift(alignment: Tensor, frames: int) -> Tensor:
    """Move an alignment along with its frames when `frames` new ones have come."""
    return F.pad(alignment[:, frames:], (0, min(frames, alignment.shape[1])))


def _pad_front(x: Tensor, places: int) -> Tensor:
    return F.pad(x, (0, 0, places, 0))


def _filled(like: Tensor, tick: int, places: int) -> Tensor:
    place = torch.arange(places, device=like.device)
    return (place >= places - tick).to(like.dtype).expand(len(like), places)
