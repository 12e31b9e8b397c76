"""The two step modules that are exported: flat, named states in and out, batch 1, static shapes.

An input `state.x` belongs to the output `next.x`; everything else is data of this step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.errors import BundleError
from models.networks.attention import Memory
from models.networks.decoder import DecoderState
from models.networks.encoder import EncoderState
from models.networks.network import SpeechNetwork

Named = dict[str, Tensor]


class EncoderStep(nn.Module):
    """`stride` samples to one encoder frame and its attention key.

    Raises
    ------
    BundleError
        If the network is not causal.
    """

    outputs = ("frame", "key")

    def __init__(self, network: SpeechNetwork) -> None:
        super().__init__()
        self.network = _steppable(network)

    def example(self) -> Named:
        """Cold-start inputs, in the order of `forward`."""
        state = self.network.encoder.initial_state(1)
        samples = torch.zeros(1, self.network.stride, self.network.channels)
        hidden = {f"state.hidden{i}": h for i, h in enumerate(state.hidden)}
        tails = {f"state.tail{i}": tail for i, tail in enumerate(state.tails)}
        return {"samples": samples, **hidden, **tails}

    def forward(self, samples: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Frame `(1, size)`, key `(1, attention size)`, next states in the order of the inputs."""
        layers = len(self.network.encoder.grus)
        state = EncoderState(list(states[layers:]), list(states[:layers]))
        frames, state = self.network.encoder(samples, state)
        frame = frames[:, 0]
        key = self.network.decoder.attention.keys(frame)
        return frame, key, *state.hidden, *state.tails


class DecoderStep(nn.Module):
    """The memory to one natural-log mel frame.

    Raises
    ------
    BundleError
        If the network is not causal.
    """

    outputs = ("mel",)

    def __init__(self, network: SpeechNetwork) -> None:
        super().__init__()
        self.network = _steppable(network)

    def example(self) -> Named:
        """Cold-start inputs, in the order of `forward`."""
        spec, places = self.network.spec, self.network.places
        state = self.network.decoder.initial_state(1)
        tails = enumerate(self.network.postnet.initial_tails(1))
        return {
            "memory": torch.zeros(1, places, spec.encoder_size),
            "keys": torch.zeros(1, places, spec.attention_size),
            "valid": torch.zeros(1, places),
            "state.alignment": state.alignment,
            "state.last": state.last,
            "state.hidden": state.hidden,
            **{f"state.tail{i}": tail for i, tail in tails},
        }

    def forward(
        self,
        memory: Tensor,
        keys: Tensor,
        valid: Tensor,
        alignment: Tensor,
        last: Tensor,
        hidden: Tensor,
        *tails: Tensor,
    ) -> tuple[Tensor, ...]:
        """Mel `(1, bands)`, next states in the order of the inputs."""
        mel, state, carried = self.network.decode_hop(
            Memory(memory, keys, valid), DecoderState(alignment, last, hidden), list(tails)
        )
        return mel, *state, *carried


def _steppable(network: SpeechNetwork) -> SpeechNetwork:
    if not network.spec.causal:
        raise BundleError(
            "the network is not causal: it sees the future, and cannot be stepped",
            "network.causal = true",
            "score this one offline with `seegvox evaluate`; train a causal one for a bundle",
        )
    return network
