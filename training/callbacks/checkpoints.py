"""The state of a training at every check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` after every check; Lightning calls it after all other callbacks."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        """Write the whole state: weights, optimiser, schedule, callbacks, step."""
        trainer.save_checkpoint(self._path)
