"""One phase from start to end, or from where it was interrupted."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import lightning as L

from models.files import new_file
from training.callbacks import Averaging, Bar, Best, Checkpoints, Examples, StopAfter
from training.checkpoints import read_tensors, write_tensors
from training.machine import make_loggers, make_trainer, resumable
from training.phases import Batch, Phase
from training.seeds import mixed
from training.settings import ExperimentSettings
from training.stretches import Part, Shard, Stretches, Tiles


@dataclass(frozen=True)
class Outcome:
    """What a phase says of itself.

    `stopped` is empty if it ran to its end, else `time` or `patience`; `weights` is `last`, `best`
    (of a check) or `average`; `used_s` counts from the start of the first phase.
    """

    steps: int
    stopped: str
    used_s: float
    weights: str
    best_step: int | None = None
    best_score: float | None = None
    processes: int = 1


@dataclass(frozen=True)
class Data:
    """The parts that a training sees."""

    training: Sequence[Part]
    validation: Sequence[Part] = ()


class PhaseRun:
    """A phase, its callbacks and its files.

    Parameters
    ----------
    module : what is trained.
    data : parts.
    settings : of the experiment.
    folder : where state and logs are kept; nothing is if None.
    used_s : seconds of training before this phase.
    """

    stretches: ClassVar[type[Stretches]] = Stretches

    def __init__(
        self,
        module: Phase,
        data: Data,
        settings: ExperimentSettings,
        folder: Path | None,
        used_s: float,
    ) -> None:
        self.module, self.data, self.settings = module, data, settings
        self._folder = folder / module.name if folder else None
        self._logs = folder / "logs" if folder else None
        optimiser = settings.optimiser
        self._limit = StopAfter(60 * optimiser.max_minutes, used_s)
        best = self._folder / "best.pt" if self._folder else None
        self._best = Best(settings.validation, best) if data.validation else None
        averaging = optimiser.averaging
        self._average = (
            Averaging(module.network, averaging, module.phase.steps) if averaging else None
        )

    def finished(self) -> Outcome | None:
        """What a phase that an earlier run finished left; its weights go into the network."""
        if self._folder is None or not (self._folder / "done.json").exists():
            return None
        self.module.network.load_state_dict(read_tensors(self._folder / "final.pt"))
        return Outcome(**json.loads((self._folder / "done.json").read_text()))

    def run(self, progress: bool) -> Outcome:
        """Train, take the best weights, and keep them."""
        last = self._folder / "last.ckpt" if self._folder else None
        checkpoint = read_tensors(last) if last is not None and last.exists() else {}
        callbacks = self._callbacks(last, progress, checkpoint.get("step", 0))
        loggers = make_loggers(self._logs, self.module.name, self.settings.log)
        steps = self.module.phase.steps - checkpoint.get("step", 0)
        trainer = make_trainer(self.settings, steps, callbacks, loggers, progress)
        if checkpoint:
            self._resume(trainer, checkpoint)
        with warnings.catch_warnings():
            # Lightning advises loader workers; batches are cut from memory here.
            warnings.filterwarnings("ignore", module="lightning")
            if steps > 0 and not (self._best and self._best.exhausted):
                _fit(trainer, self.module, self._stretches(trainer), self._tiles())
            outcome = self._finish(trainer)
        self._keep(trainer, outcome)
        return outcome

    def _callbacks(self, last: Path | None, progress: bool, done: int) -> list[L.Callback]:
        found: list[L.Callback | None] = [
            self._limit,
            self._average,
            self._best,
            Examples(),
            Checkpoints(last) if last is not None else None,
            Bar(self.module.name, done, self.module.phase.steps) if progress else None,
        ]
        return [callback for callback in found if callback is not None]

    def _resume(self, trainer: L.Trainer, checkpoint: dict[str, Any]) -> None:
        """Lightning's own restart repeats hooks and cannot skip what a data set has given."""
        self.module.load_state_dict(checkpoint["state_dict"])
        self.module.first, self.module.resumed = checkpoint["step"], checkpoint
        resumable(trainer, checkpoint)

    def _stretches(self, trainer: L.Trainer) -> Stretches:
        phase = self.module.phase
        return self.stretches(
            self.data.training,
            phase.stretch_hops,
            phase.batch,
            phase.steps,
            mixed(self.settings.seed, self.module.name),
            chunk=phase.check_every,
            first=self.module.first,
            shard=Shard(trainer.global_rank, trainer.world_size),
            changes=self.settings.augment,
        )

    def _tiles(self) -> Tiles | None:
        if not self.data.validation:
            return None
        phase = self.module.phase
        return Tiles(self.data.validation, phase.stretch_hops, self.module.warm, phase.batch)

    def _finish(self, trainer: L.Trainer) -> Outcome:
        """Take the weights of the best check, of the average, or the last."""
        best, module = self._best, self.module
        stopped = "time" if self._limit.stopped else ""
        if best is not None and best.exhausted:
            stopped = "patience"
        steps, used = module.step, self._limit.used_s
        weights = self._average_wins(trainer)
        if not weights and best is not None:
            weights = "best"
            best.restore(module.network)
        step, score = (best.step, best.told) if best is not None else (None, None)
        world = trainer.world_size
        return Outcome(steps, stopped, used, weights or "last", step, score, world)

    def _average_wins(self, trainer: L.Trainer) -> str:
        """`average` if the network now has the mean weights and keeps them."""
        average, best = self._average, self._best
        if average is None or average.count == 0:
            return ""
        average.apply(self.module, self._norm_batches())
        if best is None:
            return "average"
        trainer.validate(self.module, self._tiles(), verbose=False)
        value = best.value(trainer.callback_metrics)
        if best.score is not None and value <= best.score:
            return ""
        best.score = value
        return "average"

    def _norm_batches(self) -> Iterator[Batch]:
        assert self.settings.optimiser.averaging is not None
        phase, count = self.module.phase, self.settings.optimiser.averaging.norm_batches
        seed = mixed(self.settings.seed, self.module.name, "norm")
        # In every process the whole batch: the same statistics without talking.
        return iter(
            self.stretches(self.data.training, phase.stretch_hops, phase.batch, count, seed)
        )

    def _keep(self, trainer: L.Trainer, outcome: Outcome) -> None:
        if self._folder is None or not trainer.is_global_zero:
            return
        write_tensors(self.module.network.state_dict(), self._folder / "final.pt")
        with new_file(self._folder / "done.json", overwrite=True) as partial:
            partial.write_text(json.dumps(asdict(outcome), indent=2))


def _fit(trainer: L.Trainer, module: Phase, stretches: Stretches, checks: Tiles | None) -> None:
    # Lightning leaves modes as they are, and a phase before may have ended in inference mode.
    module.train()
    try:
        trainer.fit(module, stretches, checks)
    except SystemExit as err:
        # Lightning turns Ctrl-C into an exit of its own.
        raise KeyboardInterrupt from err
