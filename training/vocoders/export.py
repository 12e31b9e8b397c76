"""From a trained vocoder to its folder: exported, proved equal, with golden sound."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.errors import BundleError, need
from models.mel import VOCODER_HOP
from models.networks.vocoder import VocoderNetwork, VocoderStep, overlap_add
from models.streaming import Floats
from models.vocoder import VocoderFolder, VocoderSpec, write_vocoder
from realtime.graph import OnnxGraph, StepGraph
from realtime.vocoders import GateSettings, NeuralVocoder
from realtime.vocoders.neural import FirstSpectra
from training.onnx_export import export_module
from training.vocoders.stretches import first_spectra

# Both sides compute in float32 in another order. Of full scale 1.0 this is -80 dB; a wrong window,
# tail or weight is as loud as the speech itself.
TOLERANCE = 1e-4
# 8-bit weights are other weights: their sound may depart so far from the float32 sound, as a share
# of its level (-26 dB), which is under what the vocoder itself departs from the original.
INT8_TOLERANCE = 0.05
LEAST_HOPS = 200


def export_vocoder(
    network: VocoderNetwork,
    spec: VocoderSpec,
    path: Path,
    mel: Floats,
    int8: bool = False,
    overwrite: bool = False,
) -> VocoderFolder:
    """Write a vocoder's folder.

    Parameters
    ----------
    mel : frames `(hops, 80)` for proof and golden sound; repeated if they are few.
    int8 : weights of matrix products in 8 bits.

    Raises
    ------
    BundleError
        If the graph, stepped, gives another sound than the network at once; nothing is written.
    BusyOutputError
        If `path` exists and `overwrite` is not set.
    """
    network = network.cpu().eval().requires_grad_(False)
    mel = np.tile(mel, (-(-LEAST_HOPS // len(mel)), 1))[:LEAST_HOPS].astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="seegvox-vocoder-") as scratch:
        graph = Path(scratch) / "step.onnx"
        step = VocoderStep(network)
        export_module(step, step.example(), step.outputs, graph)
        proof = prove(network, OnnxGraph(graph), mel)
        if int8:
            small = Path(scratch) / "small.onnx"
            quantise(graph, small)
            proof |= prove_int8(OnnxGraph(graph), OnnxGraph(small), mel)
            graph = small
        golden = NeuralVocoder(OnnxGraph(graph)).step(mel)
        weights = "int8" if int8 else "float32"
        spec = spec.model_copy(update={"proof": proof, "weights": weights})
        return write_vocoder(path, spec, graph, (mel, golden), overwrite)


def at_once(network: VocoderNetwork, mel: Floats) -> Floats:
    """Sound `(hops * 240,)` of mel frames in torch, without a gate, not delayed."""
    start = first_spectra(mel, FirstSpectra())
    with torch.inference_mode():
        spectra = network(torch.from_numpy(mel)[None], torch.from_numpy(start)[None])[0]
        made: Floats = overlap_add(spectra)[0].numpy()
    return made


def stepped(graph: StepGraph, mel: Floats) -> Floats:
    """The same hop by hop, as it runs; a hop late."""
    graph.reset()
    vocoder = NeuralVocoder(graph, GateSettings(enabled=False))
    return vocoder.step(mel)


def prove(network: VocoderNetwork, graph: StepGraph, mel: Floats) -> dict[str, Any]:
    """Compare torch over all hops at once with the step graph.

    Raises
    ------
    BundleError
        If any sample departs by more than `TOLERANCE`.
    """
    offline, online = at_once(network, mel), stepped(graph, mel)
    # The first hop lacks what a cold start lacks too; the last is not complete.
    departure = float(np.max(np.abs(online[VOCODER_HOP:] - offline[:-VOCODER_HOP])))
    if not departure <= TOLERANCE:
        raise BundleError(
            f"torch and the exported vocoder differ by {departure:.2g} of full scale",
            f"at most {TOLERANCE:g}",
            "no vocoder was written; report the versions of torch, onnxscript and onnxruntime",
        )
    return {"torch_vs_onnx_max": departure, "tolerance": TOLERANCE, "hops": len(mel)}


def quantise(graph: Path, small: Path) -> None:
    """Weights of matrix products in 8 bits, activations as they come (dynamic)."""
    onnx = need("onnx", "train")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(str(graph))
    # Shapes that the exporter wrote down contradict those that the quantiser infers.
    del model.graph.value_info[:]
    onnx.save(model, str(graph.with_suffix(".plain.onnx")))
    # It advises preparations for networks of other kinds, through the root logger.
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(
            graph.with_suffix(".plain.onnx"),
            small,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
    finally:
        logging.disable(logging.NOTSET)


def prove_int8(whole: StepGraph, small: StepGraph, mel: Floats) -> dict[str, Any]:
    """How far 8-bit weights lead the sound away.

    Raises
    ------
    BundleError
        If further than `INT8_TOLERANCE`.
    """
    a, b = stepped(whole, mel).astype(np.float64), stepped(small, mel).astype(np.float64)
    departure = float(np.sqrt(np.mean((a - b) ** 2) / max(float(np.mean(a * a)), 1e-12)))
    if not departure <= INT8_TOLERANCE:
        raise BundleError(
            f"8-bit weights change the sound by {departure:.2g} of its level",
            f"at most {INT8_TOLERANCE:g}",
            "export it without int8",
        )
    return {"int8_departure": departure, "int8_tolerance": INT8_TOLERANCE}
