"""The causal network as it will run: step graphs, hop by hop, with the attention of every hop."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch

from models.bundle import Bundle
from models.frontend import FrontEnd
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.decoder import Decoder
from realtime.encoder import Encoder
from realtime.graph import OnnxGraph
from realtime.limiter import Limiter, LimiterSettings
from realtime.pipeline import Pipeline
from realtime.vocoders import make_vocoder
from training.onnx_export import export_steps
from training.package import Trained

NETWORK, OFFLINE = "causal network, streamed", "offline network"
_ALIGNMENT = "alignment"


@dataclass(frozen=True)
class Decoded:
    """What a network makes of a stretch: `mel` `(hops, 80)`, row `k` describing frame `k`.

    `attention` `(hops, places)`, oldest frame first; None where the network has none to show.
    """

    mel: Floats
    attention: Floats | None = None


class Network(Protocol):
    """A network that can be scored."""

    name: ClassVar[str]
    note: ClassVar[str]

    def decode(self, seeg: Floats) -> Decoded:
        """Decode `(samples, contacts)` microvolts from a cold start."""
        ...

    def mel(self, seeg: Floats) -> Floats:
        """The mel alone, as quickly as can be."""
        ...


@dataclass(frozen=True)
class Streamed:
    """The streaming pipeline of a trained network or a bundle."""

    name: ClassVar[str] = NETWORK
    note: ClassVar[str] = ""
    spec: BundleSpec
    pipeline: Pipeline
    _decoder: OnnxGraph

    @classmethod
    def of(
        cls, spec: BundleSpec, front_end: FrontEnd, graphs: tuple[OnnxGraph, OnnxGraph]
    ) -> Streamed:
        """Assemble it from its front end and its encoder and decoder graphs."""
        encoder, decoder = graphs
        pipeline = Pipeline(
            spec.clock,
            front_end,
            Encoder(encoder),
            Decoder(decoder, spec.clock, spec.lookahead_s),
            make_vocoder("phase"),
            Limiter(LimiterSettings()),
        )
        return cls(spec, pipeline, decoder)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Streamed:
        """The pipeline of a bundle."""
        encoder, decoder = map(OnnxGraph, bundle.graphs())
        return cls.of(bundle.spec, bundle.front_end(), (encoder, decoder))

    def decode(self, seeg: Floats) -> Decoded:
        """Step `(samples, contacts)` microvolts hop by hop, from a cold start.

        With a look-ahead of `n` hops the first `n` describe what lies before the stretch, and are
        left out; so the result is `n` hops shorter.
        """
        mel, attention = [], []
        self.pipeline.reset()
        for hop in self.pipeline.hops(np.ascontiguousarray(seeg)):
            mel.append(hop.mel)
            attention.append(self._decoder.state(_ALIGNMENT)[0].copy())
        self.pipeline.reset()
        ahead = self.spec.target_lookahead
        return Decoded(np.array(mel, np.float32)[ahead:], np.array(attention, np.float32)[ahead:])

    def mel(self, seeg: Floats) -> Floats:
        """The same mel, a stage at a time and without sound: quicker, for many runs."""
        pipeline = self.pipeline
        pipeline.reset()
        features = pipeline.front_end.step(np.ascontiguousarray(seeg))
        mel = pipeline.decoder.step(pipeline.encoder.step(features))
        pipeline.reset()
        return mel[self.spec.target_lookahead :]


@dataclass(frozen=True)
class Offline:
    """A network that is not causal, decoded at once in torch."""

    name: ClassVar[str] = OFFLINE
    note: ClassVar[str] = "sees the future: cannot run live"
    trained: Trained

    def decode(self, seeg: Floats) -> Decoded:
        """See `Network.decode`."""
        spec, network = self.trained.spec, self.trained.network.eval()
        features = self.trained.front_end().step(np.ascontiguousarray(seeg))
        ticks = [spec.clock.ticks(k) for k in range(spec.clock.hops_in(len(features)))]
        with torch.inference_mode():
            out = network(torch.from_numpy(features)[None], ticks)
            mel = network.denormalise(out.after)[0].numpy()
        ahead = spec.target_lookahead
        return Decoded(mel[ahead:], out.alignment[0].numpy()[ahead:])

    def mel(self, seeg: Floats) -> Floats:
        """See `Network.mel`."""
        return self.decode(seeg).mel


@contextmanager
def network_of(trained: Trained) -> Iterator[Network]:
    """A trained network as it is scored: streamed if it is causal, else at once."""
    if not trained.spec.network.causal:
        yield Offline(trained)
        return
    with streamed(trained) as network:
        yield network


@contextmanager
def streamed(trained: Trained) -> Iterator[Streamed]:
    """Export a trained network's step graphs for as long as the block lasts.

    Raises
    ------
    BundleError
        If it cannot be stepped.
    """
    with tempfile.TemporaryDirectory(prefix="seegvox-evaluate-") as scratch:
        made = export_steps(trained.network, Path(scratch))
        graphs = OnnxGraph(made["encoder"]), OnnxGraph(made["decoder"])
        yield Streamed.of(trained.spec, trained.front_end(), graphs)
