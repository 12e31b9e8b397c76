"""Checkpoints as NVIDIA's program writes them: made by classes of the names that it has.

Torch is not told how: modules of its own, put together and saved, give the pickles; the class
`WaveGlow` of a module `glow` exists only while one is written.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from models.waveglow import WaveGlowSpec

SMALL = WaveGlowSpec(flows=5, early_every=2, layers=2, channels=6)
# For what does not depend on the mels: a hundredth of the numbers.
TINY = SMALL.model_copy(update={"mels": 8, "window": 64, "hop": 16})


def random_weights(spec: WaveGlowSpec, seed: int = 0) -> dict[str, np.ndarray]:
    """Plain weights for every tensor of a spec; couplings change something, mixings are tame."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in spec.shapes().items():
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        scale = 0.1 if name.endswith("bias") else 1.0 / fan**0.5
        made[name] = rng.normal(0, scale, shape).astype(np.float32)
        if name.startswith("convinv"):
            square = np.linalg.qr(rng.normal(size=shape[:2]))[0] * rng.uniform(0.7, 1.3)
            made[name] = square[..., None].astype(np.float32)
    return made


def normed(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same as `weight_g` and `weight_v` where the published model has them."""
    made = {}
    rng = np.random.default_rng(1)
    for name, value in weights.items():
        if name.startswith("WN.") and name.endswith(".weight") and ".end." not in name:
            base = name.removesuffix("weight")
            norm = np.sqrt((value.astype(np.float64) ** 2).sum(axis=(1, 2), keepdims=True))
            made[base + "weight_g"] = norm.astype(np.float32)
            # Any length of v will do; only its direction counts.
            made[base + "weight_v"] = value * rng.uniform(0.5, 2.0, (len(value), 1, 1)).astype("f4")
        else:
            made[name] = value
    return made


def tensors(weights: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in weights.items()}


def pickled_module(weights: dict[str, np.ndarray], path: Path, old_container: bool) -> None:
    """`{'model': WaveGlow, 'iteration', 'optimizer', 'learning_rate'}` as train.py saves it."""
    glow = ModuleType("glow")
    classes = {
        name: type(name, (nn.Module,), {"__module__": "glow"})
        for name in ("WaveGlow", "WN", "Invertible1x1Conv")
    }
    for name, kind in classes.items():
        setattr(glow, name, kind)
    sys.modules["glow"] = glow
    try:
        model = _module(classes, classes["WaveGlow"](), tensors(weights))
        optimiser = torch.optim.Adam(model.parameters()).state_dict()
        content = {
            "model": model,
            "iteration": 580000,
            "optimizer": optimiser,
            "learning_rate": 1e-4,
        }
        torch.save(content, path, _use_new_zipfile_serialization=not old_container)
    finally:
        del sys.modules["glow"]


def _module(classes: dict[str, Any], model: nn.Module, found: dict[str, torch.Tensor]) -> nn.Module:
    for name, tensor in found.items():
        *path, last = name.split(".")
        here = model
        for depth, part in enumerate(path):
            if part not in here._modules:
                here.add_module(part, _part(classes, path[: depth + 1]))
            here = here._modules[part]
        here.register_parameter(last, nn.Parameter(tensor))
    # What a module of any kind may carry besides: hooks, plain tensors, sets.
    model.W_inverse = torch.zeros(2, 2)
    model._forward_pre_hooks = OrderedDict()
    model.n_flows = 12
    return model


def _part(classes: dict[str, Any], path: list[str]) -> nn.Module:
    if path in (["WN"], ["convinv"]) or path[-1] in ("in_layers", "res_skip_layers"):
        return nn.ModuleList()
    if len(path) == 2:
        return classes["WN" if path[0] == "WN" else "Invertible1x1Conv"]()
    made = nn.Conv1d(1, 1, 1)
    made._parameters.clear()
    return made
