"""Validation stretches as images and audio in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from models.mel import VOCODER_RATE
from models.streaming import Floats
from realtime.vocoders import make_vocoder
from training.validation import Example


class Examples(L.Callback):
    """Writes mels, alignments and their sound after every check."""

    def on_validation_end(self, trainer: L.Trainer, module: Any) -> None:
        """Write them, in the first process."""
        writers = [log for log in trainer.loggers if isinstance(log, TensorBoardLogger)]
        if not writers or not trainer.is_global_zero or trainer.state.fn != "fit":
            return
        for number, example in enumerate(module.validation.examples):
            _write(writers[0].experiment, f"{module.name}/{number}", example, module.step)


def _write(writer: Any, name: str, example: Example, step: int) -> None:
    both = np.concatenate([example.truth, example.decoded], axis=1)
    writer.add_image(f"{name}/mel, true below decoded", image(both), step, dataformats="HW")
    if example.alignment is not None:
        writer.add_image(f"{name}/attention", image(example.alignment), step, dataformats="HW")
    for what, mel in (("true", example.truth), ("decoded", example.decoded)):
        sound = make_vocoder("phase").step(mel)
        writer.add_audio(f"{name}/{what}", sound.reshape(1, -1), step, VOCODER_RATE)


def image(values: Floats) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """`(time, rows)` as grey levels `(rows, time)`, first row lowest."""
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / max(high - low, 1e-9) * 255
    return np.flipud(scaled.T).astype(np.uint8)
