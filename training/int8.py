"""int8 weights for the step graphs, where the network decodes as well with them.

A step is bound by the bandwidth at which weights come from memory, and int8 is a quarter of it.
Weights are rounded per output channel, activations per step by ONNX Runtime (its dynamic
quantisation); states, gates and sums stay float32. Whether a network bears it is measured, on its
own training part: nothing is chosen by what is held out.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from models.errors import need
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.decoder import Decoder
from realtime.encoder import Encoder
from realtime.graph import OnnxGraph
from training.onnx_export import export_products
from training.scores import fit_speech_threshold, mel_r, speech_frames
from training.stretches import Part

MARGIN = 0.005
"""Speech-only r that int8 may cost."""
SMALLEST = 16_384
"""Matrices of fewer weights stay float32: rounding their input would cost more than it saves."""
TRIAL_S = 120

Graphs = tuple[Path, Path]
"""Encoder and decoder."""


@dataclass(frozen=True)
class Trial:
    """Speech-only r of both, on the last `seconds` of the training part."""

    seconds: float
    speech_r_float32: float
    speech_r_int8: float
    mel_departure_rms: float

    @property
    def passed(self) -> bool:
        """Whether int8 costs no more than `MARGIN`."""
        return self.speech_r_int8 >= self.speech_r_float32 - MARGIN

    def as_json(self) -> dict[str, Any]:
        """Plain values, the margin too."""
        return {**asdict(self), "margin": MARGIN, "passed": self.passed}


def export_int8(network: SpeechNetwork, folder: Path) -> Graphs:
    """Write encoder and decoder steps with int8 weights into `folder`."""
    encoder, decoder = export_products(network, folder)
    for path in (encoder, decoder):
        _quantise(path)
    return encoder, decoder


def _quantise(path: Path) -> None:
    """Replace a graph by one whose large constant matrices are int8."""
    onnx = need("onnx", "train")
    quantization = need("onnxruntime.quantization", "train")
    model = onnx.load(str(path))
    # Shapes that the exporter noted stand in the quantiser's way (onnxruntime #17267).
    del model.graph.value_info[:]
    # It recommends a preprocessing that static shapes do not need.
    logging.getLogger().addFilter(_about_preprocessing)
    try:
        quantization.quantize_dynamic(
            model,
            str(path),
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=_large_products(model),
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    finally:
        logging.getLogger().removeFilter(_about_preprocessing)


def _about_preprocessing(line: logging.LogRecord) -> bool:
    return "pre-processing" not in line.getMessage()


def _large_products(model: Any) -> list[str]:
    constants = {tensor.name: prod(tensor.dims) for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul"
        and constants.get(node.input[1], 0) >= SMALLEST
        and node.input[0] not in constants
    ]


def try_int8(float32: Graphs, int8: Graphs, spec: BundleSpec, training: Part) -> Trial:
    """Decode the end of the training part with both."""
    hops = min(len(training.mel), int(TRIAL_S / spec.hop_s))
    features, truth = training.cut(len(training.mel) - hops, hops)
    ahead = spec.target_lookahead
    plain, small = (_mel(graphs, spec, features)[ahead:] for graphs in (float32, int8))
    truth = truth[: len(plain)]
    spoken = speech_frames(truth, fit_speech_threshold(training.mel))
    return Trial(
        seconds=round(len(truth) * float(spec.hop_s), 3),
        speech_r_float32=mel_r(truth, plain, spoken),
        speech_r_int8=mel_r(truth, small, spoken),
        mel_departure_rms=float(((plain - small) ** 2).mean() ** 0.5),
    )


def _mel(graphs: Graphs, spec: BundleSpec, features: Floats) -> Floats:
    encoder, decoder = (OnnxGraph(path) for path in graphs)
    return Decoder(decoder, spec.clock).step(Encoder(encoder).step(features))
