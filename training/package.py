"""From a trained network to a proven, scored bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import Bundle, front_end_arrays, write_bundle
from models.frontend import FrontEnd, Statistics
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.decoder import Decoder
from realtime.encoder import Encoder
from realtime.golden import make_golden
from realtime.graph import OnnxGraph
from realtime.limiter import Limiter, LimiterSettings
from realtime.pipeline import Pipeline
from realtime.vocoders import make_vocoder
from training.onnx_export import export_steps
from training.proof import long_enough, prove

GOLDEN_SECONDS = 3

Evaluate = Callable[[Pipeline], dict[str, Any]]


@dataclass(frozen=True)
class Trained:
    """All that a bundle is made from."""

    spec: BundleSpec
    network: SpeechNetwork
    statistics: Statistics

    def front_end(self) -> FrontEnd:
        """A fresh front end with the training statistics."""
        spec = self.spec
        return FrontEnd(spec.front_end, spec.contacts, spec.fs_hz, self.statistics)


def package(
    trained: Trained,
    path: Path,
    held_out: Floats,
    evaluate: Evaluate | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Export, prove, score and write a bundle.

    Parameters
    ----------
    trained : network, spec and statistics.
    path : the bundle's folder, new.
    held_out : `(samples, contacts)` microvolts that training has not seen, for proof and golden.
    evaluate : given the streaming pipeline, returns the scores to record.

    Raises
    ------
    BundleError
        If the graphs are not the network; nothing is written then.
    BusyOutputError
        If `path` exists and `overwrite` is not set.
    """
    spec = trained.spec
    with tempfile.TemporaryDirectory(prefix="seegvox-export-") as scratch:
        graphs = export_steps(trained.network, Path(scratch))
        encoder, decoder = OnnxGraph(graphs["encoder"]), OnnxGraph(graphs["decoder"])
        features = long_enough(trained.front_end().step(held_out), spec)
        proof = prove(trained.network, (encoder, decoder), spec, features)
        pipeline = Pipeline(
            spec.clock,
            trained.front_end(),
            Encoder(encoder),
            Decoder(decoder, spec.clock, spec.lookahead_s),
            make_vocoder("phase"),
            Limiter(LimiterSettings()),
        )
        scores = evaluate(pipeline) if evaluate else {}
        golden = make_golden(pipeline, held_out[: int(GOLDEN_SECONDS * spec.fs_hz)])
        spec = spec.model_copy(update={"proof": proof, "scores": scores})
        arrays = front_end_arrays(trained.front_end(), trained.statistics)
        return write_bundle(path, spec, graphs, arrays, golden, overwrite)
