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
from models.spec import BundleSpec, Weights
from models.streaming import Floats
from realtime.decoder import Decoder
from realtime.encoder import Encoder
from realtime.golden import make_golden
from realtime.graph import OnnxGraph
from realtime.limiter import Limiter, LimiterSettings
from realtime.pipeline import Pipeline
from realtime.vocoders import make_vocoder
from training.int8 import export_int8, try_int8
from training.onnx_export import export_steps
from training.proof import long_enough, prove
from training.stretches import Part

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
    training: Part | None = None,
) -> Bundle:
    """Export, prove, score and write a bundle.

    Parameters
    ----------
    trained : network, spec and statistics.
    path : the bundle's folder, new.
    held_out : `(samples, contacts)` microvolts that training has not seen, for proof and golden.
    evaluate : given the streaming pipeline, returns the scores to record.
    training : what int8 weights are tried on; without it the bundle has float32 alone.

    Raises
    ------
    BundleError
        If the graphs are not the network; nothing is written then.
    BusyOutputError
        If `path` exists and `overwrite` is not set.
    """
    spec = trained.spec
    with tempfile.TemporaryDirectory(prefix="seegvox-export-") as scratch:
        graphs = _Graphs(trained, Path(scratch), held_out)
        if training is not None:
            graphs.try_int8(training)
        pipeline = graphs.pipeline(graphs.preferred)
        scores = evaluate(pipeline) if evaluate else {}
        few = held_out[: int(GOLDEN_SECONDS * spec.fs_hz)]
        golden = make_golden(graphs.pipeline("float32"), few, graphs.others())
        told = {"proof": graphs.proof, "scores": scores, "weights": graphs.preferred}
        spec = spec.model_copy(update=told)
        arrays = front_end_arrays(trained.front_end(), trained.statistics)
        return write_bundle(path, spec, graphs.paths, arrays, golden, overwrite)


class _Graphs:
    """The graphs of a bundle to be: float32, proved; int8 if they decode as well.

    Raises
    ------
    BundleError
        If the float32 graphs are not the network.
    """

    def __init__(self, trained: Trained, folder: Path, held_out: Floats) -> None:
        self._trained, self._folder = trained, folder
        made = export_steps(trained.network, folder)
        float32 = made["encoder"], made["decoder"]
        self.paths: dict[Weights, tuple[Path, Path]] = {"float32": float32}
        self.preferred: Weights = "float32"
        features = long_enough(trained.front_end().step(held_out), trained.spec)
        steps = OnnxGraph(float32[0]), OnnxGraph(float32[1])
        self.proof: dict[str, Any] = prove(trained.network, steps, trained.spec, features)

    def try_int8(self, training: Part) -> None:
        """Keep and prefer int8 weights if they pass."""
        made = export_int8(self._trained.network, self._folder)
        trial = try_int8(self.paths["float32"], made, self._trained.spec, training)
        self.proof["int8"] = trial.as_json()
        if trial.passed:
            self.paths["int8"], self.preferred = made, "int8"

    def others(self) -> dict[Weights, Pipeline]:
        """Pipelines with weights that are not float32."""
        return {kind: self.pipeline(kind) for kind in self.paths if kind != "float32"}

    def pipeline(self, weights: Weights) -> Pipeline:
        """The whole path with these graphs."""
        spec = self._trained.spec
        encoder, decoder = map(OnnxGraph, self.paths[weights])
        return Pipeline(
            spec.clock,
            self._trained.front_end(),
            Encoder(encoder),
            Decoder(decoder, spec.clock, spec.lookahead_s),
            make_vocoder("phase"),
            Limiter(LimiterSettings()),
        )
