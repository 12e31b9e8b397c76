"""Step graphs of random weights and any size, with the work that a step is; for measuring cost.

Time does not depend on what the weights are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.networks.folded import fold
from models.networks.steps import DecoderStep, EncoderStep
from models.spec import BundleSpec, Weights
from training.int8 import export_int8
from training.onnx_export import export_steps
from training.yardsticks import random_network


def export_random(
    spec: BundleSpec, channels: int, folder: Path, weights: Weights = "float32"
) -> tuple[Path, Path]:
    """Export encoder and decoder step of a random network into `folder`.

    Parameters
    ----------
    spec : shapes; its contacts do not matter here, `channels` does.
    channels : of the front end.
    weights : their precision.
    """
    network = random_network(spec, channels)
    if weights == "int8":
        return export_int8(network, folder)
    made = export_steps(network, folder)
    return made["encoder"], made["decoder"]


def step_macs(spec: BundleSpec, channels: int) -> tuple[int, int]:
    """Multiply-accumulates of one encoder tick and of one decoder tick."""
    folded = fold(random_network(spec, channels))
    return _macs(EncoderStep(folded)), _macs(DecoderStep(folded))


def _macs(step: Any) -> int:
    """Half a step's floating-point operations."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        step(*step.example().values())
    return int(counter.get_total_flops()) // 2
