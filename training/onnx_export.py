"""Torch step modules to ONNX files with named, static inputs and outputs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.bundle import GRAPHS
from models.errors import BundleError, need
from models.networks.folded import fold
from models.networks.network import SpeechNetwork
from models.networks.products import as_products
from models.networks.steps import DecoderStep, EncoderStep
from realtime.graph import NEXT, STATE


def export_steps(network: SpeechNetwork, folder: Path) -> dict[str, Path]:
    """Write `encoder_step.onnx` and `decoder_step.onnx` of the folded network.

    Raises
    ------
    BundleError
        If a GRU was exported with the wrong reset form (pytorch #189225: silently wrong output).
    """
    encoder, decoder = _export(fold(network).cpu(), folder, GRAPHS["float32"])
    return {"encoder": encoder, "decoder": decoder}


def export_products(network: SpeechNetwork, folder: Path) -> tuple[Path, Path]:
    """Write both steps with every large layer as a product, to be made int8."""
    return _export(as_products(fold(network).cpu()), folder, GRAPHS["int8"])


def _export(folded: SpeechNetwork, folder: Path, names: tuple[str, str]) -> tuple[Path, Path]:
    encoder, decoder = (folder / name for name in names)
    for step, path in ((EncoderStep(folded), encoder), (DecoderStep(folded), decoder)):
        export_module(step, step.example(), step.outputs, path)
    return encoder, decoder


def export_module(
    module: torch.nn.Module, example: Mapping[str, Tensor], outputs: tuple[str, ...], path: Path
) -> None:
    """Export one module; every `state.x` among `example` gives an output `next.x`."""
    nexts = [NEXT + name.removeprefix(STATE) for name in example if name.startswith(STATE)]
    need("onnxscript", "train")
    # It warns of packages that hold operators nobody uses here.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter warns of its own internals (_flat_weights, opset); parity is proved after.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=[*outputs, *nexts],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _check_gru(path)


def _check_gru(path: Path) -> None:
    onnx = need("onnx", "train")
    for node in onnx.load(str(path)).graph.node:
        reset = {a.name: a.i for a in node.attribute}.get("linear_before_reset", 0)
        if node.op_type == "GRU" and reset != 1:
            raise BundleError(
                f"{path.name}: GRU {node.name} has linear_before_reset={reset}",
                "1, torch's form",
                "use another torch or onnxscript version",
            )
