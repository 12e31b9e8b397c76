"""A WaveGlow as seegvox keeps it: one file of tensors and plain values, read with no code run."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from models.files import new_file, sha256
from models.networks.waveglow import WaveGlow
from models.waveglow import WaveGlowSpec
from training.vocoders.errors import CheckpointError

# What torch raises at files that are not its own, or damaged.
_DAMAGE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError),
    *(KeyError, IndexError, AttributeError, TypeError),
)

FORMAT, VERSION = "seegvox waveglow", 1


@dataclass(frozen=True)
class WaveGlowFile:
    """Weights by their published names, weight norm removed; `about` says where they are from."""

    spec: WaveGlowSpec
    weights: dict[str, NDArray[np.float32]]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Numbers in it."""
        return sum(array.size for array in self.weights.values())


def write_waveglow(found: WaveGlowFile, path: Path, overwrite: bool = False) -> str:
    """Write it, whole or not at all; its SHA-256.

    Raises
    ------
    BusyOutputError
        If `path` exists and `overwrite` is not set.
    """
    plain = {
        "format": FORMAT,
        "version": VERSION,
        "spec": found.spec.model_dump(),
        "about": found.about,
        "weights": {name: torch.from_numpy(array) for name, array in found.weights.items()},
    }
    with new_file(path, overwrite) as partial:
        torch.save(plain, partial)
    return sha256(path)


def load_waveglow(path: Path) -> WaveGlow:
    """The network, for inference.

    Raises
    ------
    CheckpointError
        If it is no file that `seegvox convert-waveglow` wrote, or its tensors do not fit.
    """
    found = _read(path)
    try:
        network = WaveGlow(WaveGlowSpec(**found["spec"]))
        network.load_state_dict(found["weights"])
    except (KeyError, TypeError, ValidationError, RuntimeError) as err:
        raise CheckpointError(
            f"{path}: {str(err).splitlines()[0]}", "the weights of its own spec", "convert it again"
        ) from err
    return network.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Any]:
    convert = f"seegvox convert-waveglow {path} NEW.pt"
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist", "a converted WaveGlow", "check the path")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as err:
        raise CheckpointError(
            f"{path} is more than tensors, or damaged",
            "a file that convert-waveglow wrote",
            f"if it is NVIDIA's, convert it once: {convert}",
        ) from err
    known = isinstance(found, dict) and found.get("format") == FORMAT
    if not known or found.get("version") != VERSION:
        raise CheckpointError(
            f"{path} is not a converted WaveGlow",
            f"{FORMAT} {VERSION}",
            f"convert it once: {convert}",
        )
    return dict(found)
