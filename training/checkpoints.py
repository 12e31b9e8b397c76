"""Tensors in files that are there whole or not at all, read without running any code of theirs."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from training.errors import TrainingError


def write_tensors(tensors: Any, path: Path) -> None:
    """Write tensors and plain values; an older file stays until the new one is complete.

    Raises
    ------
    TrainingError
        If the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            torch.save(tensors, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as err:
        # torch reports a full disk as an error of its zip writer.
        raise TrainingError(
            f"{path} cannot be written ({str(err).splitlines()[0]})",
            "room on the disk and the right to write there",
            "what was there before is kept; make room, then go on with `seegvox train --resume`",
        ) from err
    finally:
        partial.unlink(missing_ok=True)


def read_tensors(path: Path) -> dict[str, Any]:
    """What `write_tensors` wrote, on the CPU.

    Raises
    ------
    TrainingError
        If it is missing or damaged.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as err:
        raise TrainingError(
            f"{path} cannot be read ({str(err).splitlines()[0]})",
            "a file that this training wrote",
            "train again without --resume",
        ) from err
    return found


class WholeFiles(TorchCheckpointIO):
    """Lightning's checkpoints through `write_tensors`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; the one before stays until then."""
        write_tensors(checkpoint, Path(path))
