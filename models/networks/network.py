"""The network, one definition: as published, and causal, so that what is trained can be stepped.

Kohler et al. 2022 (sEEG to speech with an attention sequence-to-sequence model). The causal
variant is the same with every look into the future taken away. Frames inside the network are
normalised by the training mean and deviation per band; `denormalise` gives WaveGlow's natural-log
values.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.hops import HOP
from models.mel import BANDS
from models.networks.attended_step import Hop
from models.networks.attention import Ages, Memory, make_attention
from models.networks.decoder import Decoder, DecoderState
from models.networks.encoder import Encoder, EncoderState
from models.networks.grid import Layout, feature_layout
from models.networks.postnet import Postnet
from models.networks.unrolled import Teacher, sliding, unroll
from models.networks.windows import Windows
from models.spec import BundleSpec, NetworkSpec


class Output(NamedTuple):
    """Normalised frames `(batch, hops, bands)` before and after the post-net, and alignments.

    A discrete head has its logits too, `(batch, hops, bands, codes)`, likewise before and after.
    """

    before: Tensor
    after: Tensor
    alignment: Tensor
    logits_before: Tensor | None = None
    logits: Tensor | None = None


class SpeechNetwork(nn.Module):
    """Features in, mel frames out, one per hop.

    Parameters
    ----------
    spec : shapes.
    channels : feature channels of the front end.
    stride : samples per encoder tick.
    window : encoder frames in `spec.memory_ms`.
    bands : mel bands.
    layout : where each channel sits, for a 3-D convolution.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        channels: int,
        stride: int,
        window: int,
        bands: int = BANDS,
        layout: Layout | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.channels, self.stride = spec, channels, stride
        self.window, self.bands = window, bands
        self.window_hops = max(1, int(Fraction(str(spec.memory_ms)) / 1000 / HOP))
        self.places = window * (1 + sum(spec.context))
        self.encoder = Encoder(spec, channels, stride, layout)
        attention = make_attention(spec, self.places, self.encoder.size)
        self.decoder = Decoder(spec, attention, bands, self.encoder.size)
        # A window's decoder starts from where its encoder ended (Kohler et al. 2022).
        states = spec.encoder_layers * self.encoder.size
        self.bridge = None if spec.causal else nn.Linear(states, spec.decoder_size)
        self.postnet = Postnet(spec, self.decoder.width)
        self.register_buffer("mel_mean", torch.zeros(bands))
        self.register_buffer("mel_std", torch.ones(bands))
        self.mel_mean: Tensor
        self.mel_std: Tensor

    @classmethod
    def of(cls, spec: BundleSpec, channels: int) -> SpeechNetwork:
        """A fresh network of the shapes that a bundle's spec states."""
        layout = feature_layout(spec) if spec.network.conv == "3d" else None
        return cls(spec.network, channels, spec.stride, spec.memory_frames, BANDS, layout)

    def normalise(self, mel: Tensor) -> Tensor:
        """Natural-log mel to network values."""
        return (mel - self.mel_mean) / self.mel_std

    def denormalise(self, frames: Tensor) -> Tensor:
        """Network values to natural-log mel."""
        return frames * self.mel_std + self.mel_mean

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Frames and keys of a whole run from a cold start; samples short of a tick are left."""
        frames, _ = self._encode(features)
        return frames, self.decoder.attention.keys(frames)

    def hop_frames(self, features: Tensor, ticks: Sequence[int]) -> Tensor:
        """The encoder frame complete at the end of each hop, `(batch, hops, size)`."""
        if self.spec.causal:
            return self._encode(features)[0][:, [tick - 1 for tick in ticks]]
        windows = self.windows(ticks)
        frames, _ = self._encode_windows(windows, features)
        last = (windows.ends - 1).repeat(len(features), 1).to(frames.device)
        index = last[:, :, None].expand(-1, -1, frames.shape[2])
        return windows.join(frames.gather(1, index))

    def windows(self, ticks: Sequence[int]) -> Windows:
        """The windows in which a network that is not causal decodes a run."""
        return Windows(ticks, self.window_hops, self.window, self.spec.context)

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
        told = None if teacher is None or forced is None else Teacher(teacher, forced)
        if self.spec.causal:
            return self._output(*self._decode_run(features, ticks, told))
        windows = self.windows(ticks)
        if told is not None:
            split = windows.split(told.forced.t().contiguous())
            told = Teacher(windows.split(told.frames), split.t())
        found = self._output(*self._decode_windows(windows, features, told))
        joined = {k: windows.join(v) for k, v in found._asdict().items() if v is not None}
        return Output(**joined)

    def decode_hop(
        self, memory: Memory, state: DecoderState, tails: list[Tensor]
    ) -> tuple[Tensor, DecoderState, list[Tensor]]:
        """One hop of inference: natural-log mel `(batch, bands)`, next state and tails."""
        output, state = self.decoder(memory, state)
        corrected, tails = self.postnet(output[:, None], tails)
        return self.denormalise(self.decoder.frames(corrected[:, 0])), state, tails

    def _encode(self, features: Tensor) -> tuple[Tensor, EncoderState]:
        whole = features.shape[1] // self.stride * self.stride
        state = self.encoder.initial_state(len(features))
        frames, state = self.encoder(features[:, :whole], state)
        return frames, state

    def _decode_run(
        self, features: Tensor, ticks: Sequence[int], teacher: Teacher | None
    ) -> tuple[Tensor, Tensor]:
        frames, keys = self.encode(features)
        ends = [tick + self.places for tick in ticks]
        memories = zip(
            sliding(F.pad(frames, (0, 0, self.places, 0)), ends, self.places),
            sliding(F.pad(keys, (0, 0, self.places, 0)), ends, self.places),
            ticks,
            strict=True,
        )
        ages, done, hops = self.decoder.attention.age_table(), 0, []
        for seen, seen_keys, tick in memories:
            memory = Memory(seen, seen_keys, _filled(features, tick, self.places))
            hops.append(Hop(memory, ages, tick - done))
            done = tick
        return unroll(self.decoder, hops, self._nothing(len(features)), teacher)

    def _encode_windows(self, windows: Windows, features: Tensor) -> tuple[Tensor, EncoderState]:
        cut = windows.cut(features, self.stride)
        if not self.spec.reverse_time:
            return self._encode(cut)
        frames, state = self._encode(cut.flip(1))
        return frames.flip(1), state

    def _decode_windows(
        self, windows: Windows, features: Tensor, teacher: Teacher | None
    ) -> tuple[Tensor, Tensor]:
        frames, state = self._encode_windows(windows, features)
        batch, attention = len(features), self.decoder.attention
        valid = windows.valid(features.shape[1] // self.stride).to(frames.device)
        filled = None if bool(valid.all()) else valid.repeat(batch, 1)
        ends = [self.places] * self.window_hops
        seen = sliding(frames, ends, self.places)
        keys = sliding(attention.keys(frames), ends, self.places)
        ages: list[Ages] = windows.ages(attention.age_table(), batch)
        hops = [
            Hop(Memory(*memory, filled), age)
            for memory, age in zip(zip(seen, keys, strict=True), ages, strict=True)
        ]
        assert self.bridge is not None
        last = torch.cat([way for hidden in state.hidden for way in hidden], 1)
        return unroll(self.decoder, hops, self.bridge(last), teacher)

    def _nothing(self, batch: int) -> Tensor:
        return self.decoder.initial_state(batch).hidden[0]

    def _output(self, outputs: Tensor, alignment: Tensor) -> Output:
        corrected = self.postnet.run(outputs)
        decoder = self.decoder
        frames = decoder.frames(outputs), decoder.frames(corrected), alignment
        if decoder.codes is None:
            return Output(*frames)
        return Output(*frames, decoder.codes.logits(outputs), decoder.codes.logits(corrected))


def _filled(like: Tensor, tick: int, places: int) -> Tensor | None:
    if tick >= places:
        return None
    place = torch.arange(places, device=like.device)
    return (place >= places - tick).to(like.dtype).expand(len(like), places)


def parameter_counts(network: SpeechNetwork) -> dict[str, int]:
    """Trained numbers per block, and their sum under `total`.

    At the default sizes, 112 channels at 1024 Hz (20 encoder frames in 200 ms):

    ============  =========  =========  ==========================================================
    block         causal     published  counts
    ============  =========  =========  ==========================================================
    convolution     259 606    259 606  kernels, and scale and shift of each layer's batch norm
    encoder       1 045 248  2 926 080  GRU layers
    attention        70 972    103 759  query, keys of frames and ages, location, score, ages
    bridge                0    393 472  the encoder's last states to the decoder's first
    prenet           86 528     86 528  two layers
    decoder         615 936    812 544  GRU
    output          160 080    225 616  ELU layer and linear layer
    postnet       1 190 048  1 190 048  kernels, and scale and shift of each layer's batch norm
    total         3 428 418  5 997 653
    ============  =========  =========  ==========================================================
    """
    decoder = network.decoder
    blocks: dict[str, list[nn.Module | None]] = {
        "convolution": [network.encoder.conv],
        "encoder": [network.encoder.grus],
        "attention": [decoder.attention],
        "bridge": [network.bridge],
        "prenet": [decoder.prenet],
        "decoder": [decoder.gru],
        "output": [decoder.dense, decoder.project],
        "postnet": [network.postnet],
    }
    counts = {
        name: sum(p.numel() for part in parts if part is not None for p in part.parameters())
        for name, parts in blocks.items()
    }
    return {**counts, "total": sum(counts.values())}
