"""One stage of a vocoder's training from start to end, or from where it was interrupted."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger

from models.files import new_file
from training.callbacks import Bar, Best, Checkpoints, StopAfter
from training.checkpoints import WholeFiles, read_tensors, write_tensors
from training.machine import make_loggers, resumable
from training.settings import ValidationSettings
from training.vocoders.phases import GRADIENT_CLIP, VocoderPhase
from training.vocoders.settings import VocoderTraining


@dataclass(frozen=True)
class StageOutcome:
    """What a stage says of itself; `stopped` is empty, `time` or `patience`."""

    steps: int
    stopped: str
    used_s: float
    weights: str
    best_step: int | None = None
    best_loss: float | None = None


class Kept:
    """Batches that every check goes over; Lightning takes a bare list for several loaders."""

    def __init__(self, batches: Sequence[Any]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


class Sounds(L.Callback):
    """Held-out files as the network makes them, in TensorBoard after every check."""

    def on_validation_end(self, trainer: L.Trainer, module: Any) -> None:
        """Write them."""
        writers = [log for log in trainer.loggers if isinstance(log, TensorBoardLogger)]
        if not writers or trainer.state.fn != "fit":
            return
        for number, pair in enumerate(module.heard):
            for what, sound in zip(("made", "true"), pair, strict=True):
                name = f"{module.name}/{number}/{what}"
                rate = module.sample_rate
                writers[0].experiment.add_audio(name, sound.reshape(1, -1), module.step, rate)


class StageRun:
    """A stage, its callbacks and its files.

    Parameters
    ----------
    module : what is trained.
    settings : of the training.
    folder : where state and logs are kept.
    used_s : seconds of training before this stage.
    """

    def __init__(
        self, module: VocoderPhase, settings: VocoderTraining, folder: Path, used_s: float
    ) -> None:
        self.module, self.settings = module, settings
        self._folder, self._logs = folder / module.name, folder / "logs"
        self._limit = StopAfter(60 * settings.max_minutes, used_s)
        monitored = ValidationSettings(monitor="loss", patience=settings.patience)
        # Judges do not go by the loss: what they taught would be thrown away again.
        by_loss = module.counted == 1
        self._best = Best(monitored, self._folder / "best.pt") if by_loss else None
        self._last = self._folder / "last.ckpt"

    def finished(self) -> StageOutcome | None:
        """What a stage that an earlier run finished left; its weights go into the network."""
        if not (self._folder / "done.json").exists():
            return None
        self.module.network.load_state_dict(read_tensors(self._folder / "final.pt"))
        return StageOutcome(**json.loads((self._folder / "done.json").read_text()))

    def begun(self) -> int:
        """Steps that an interrupted run made; its state is taken up."""
        if not self._last.exists():
            return 0
        checkpoint = read_tensors(self._last)
        self.module.load_state_dict(checkpoint["state_dict"])
        self.module.first, self.module.resumed = checkpoint["step"], checkpoint
        return int(checkpoint["step"])

    def run(self, batches: Any, held_out: Sequence[Any], progress: bool) -> StageOutcome:
        """Train; take the best weights, and keep them."""
        module = self.module
        left = module.stage.steps - module.first
        trainer = self._trainer(left * module.counted, progress)
        if module.resumed:
            resumable(trainer, module.resumed)
        with warnings.catch_warnings():
            # Lightning advises loader workers; stretches are cut from mapped memory here.
            warnings.filterwarnings("ignore", module="lightning")
            if left > 0 and not (self._best and self._best.exhausted):
                trainer.fit(module, batches, Kept(held_out))
        outcome = self._outcome()
        write_tensors(module.network.state_dict(), self._folder / "final.pt")
        with new_file(self._folder / "done.json", overwrite=True) as partial:
            partial.write_text(json.dumps(asdict(outcome)))
        return outcome

    def _trainer(self, steps: int, progress: bool) -> L.Trainer:
        module, machine = self.module, self.settings.machine
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        callbacks = [self._limit, self._best, Sounds(), Checkpoints(self._last)]
        bar = Bar(module.name, module.first, module.stage.steps) if progress else None
        return L.Trainer(
            accelerator=machine.accelerator,
            devices=machine.devices,
            precision=machine.precision,
            max_steps=steps,
            gradient_clip_val=GRADIENT_CLIP if module.automatic_optimization else None,
            callbacks=[c for c in (*callbacks, bar) if c is not None],
            plugins=[WholeFiles()],
            logger=make_loggers(self._logs, module.name, self.settings.log) or False,
            log_every_n_steps=10,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=progress,
        )

    def _outcome(self) -> StageOutcome:
        best, module = self._best, self.module
        stopped = "time" if self._limit.stopped else ""
        if best is None or best.score is None:
            return StageOutcome(module.step, stopped, self._limit.used_s, "last")
        best.restore(module.network)
        stopped = "patience" if best.exhausted else stopped
        return StageOutcome(module.step, stopped, self._limit.used_s, "best", best.step, best.told)
