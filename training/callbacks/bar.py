"""Lightning's progress bar, under a phase's name."""

from __future__ import annotations

import sys
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class Bar(TQDMProgressBar):
    """One bar over all steps of a phase, whatever Lightning calls an epoch."""

    def __init__(self, phase: str, done: int, steps: int) -> None:
        # Into a file or a log, a line now and then is enough.
        super().__init__(refresh_rate=1 if sys.stderr.isatty() else 25)
        self._phase, self._done, self._steps = phase, done, steps

    def init_train_tqdm(self) -> Any:
        """The bar of a phase."""
        bar = super().init_train_tqdm()
        bar.set_description(f"training: {self._phase}")
        return bar

    def init_validation_tqdm(self) -> Any:
        """None: a check is short."""
        return Tqdm(disable=True)

    def on_train_epoch_start(self, *_: Any) -> None:
        """A phase has no epochs."""
        self.train_progress_bar.total = self._steps
        self.train_progress_bar.initial = self._done

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        """Steps of the phase."""
        bar = self.train_progress_bar
        if module.step % self.refresh_rate == 0 or module.step == self._steps:
            bar.n = module.step
            bar.set_postfix(self.get_metrics(trainer, module))

    def get_metrics(self, trainer: L.Trainer, module: Any) -> dict[str, Any]:
        """Without the number of the log's folder."""
        found = super().get_metrics(trainer, module)
        found.pop("v_num", None)
        return dict(found)
