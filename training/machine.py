"""Lightning's trainer for one phase."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from models.errors import SettingsError, need
from training.checkpoints import WholeFiles
from training.settings import ExperimentSettings, LogSettings, MachineSettings
from training.shared_norm import SharedNorm


def make_trainer(
    settings: ExperimentSettings,
    steps: int,
    callbacks: list[L.Callback],
    loggers: list[Logger],
    progress: bool,
) -> L.Trainer:
    """A trainer for so many steps.

    Raises
    ------
    SettingsError
        If the machine has not what `settings.machine` asks for.
    """
    machine = settings.machine
    _check_precision(machine)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    try:
        return L.Trainer(
            accelerator=machine.accelerator,
            devices=machine.devices,
            num_nodes=machine.num_nodes,
            strategy=machine.strategy,
            precision=machine.precision,
            max_steps=steps,
            gradient_clip_val=settings.optimiser.gradient_clip,
            callbacks=callbacks,
            plugins=[WholeFiles(), SharedNorm()],
            logger=loggers or False,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=any(_keeps(c) for c in callbacks),
            enable_model_summary=False,
            enable_progress_bar=progress,
        )
    except (MisconfigurationException, ImportError, ValueError, RuntimeError) as err:
        raise SettingsError(
            f"[machine] {machine.model_dump()}: {str(err).splitlines()[0]}",
            "an accelerator and devices that this machine has",
            "correct the table [machine]",
        ) from err


def _keeps(callback: L.Callback) -> bool:
    return isinstance(callback, L.pytorch.callbacks.Checkpoint)


def _check_precision(machine: MachineSettings) -> None:
    on_gpu = machine.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if machine.precision == "16-mixed" and not on_gpu:
        raise SettingsError(
            f"precision '16-mixed' with accelerator '{machine.accelerator}' and "
            f"{torch.cuda.device_count()} CUDA devices",
            "a CUDA device: half precision has no loss scaling elsewhere",
            "set machine.precision to '32' or 'bf16-mixed'",
        )


def make_loggers(folder: Path | None, phase: str, settings: LogSettings) -> list[Logger]:
    """CSV always and TensorBoard if asked for, below `folder/PHASE/`, a new run each time.

    Raises
    ------
    MissingExtraError
        If TensorBoard is asked for and not installed.
    """
    if folder is None:
        return []
    attempt = f"run_{len(list((folder / phase).glob('run_*')))}"
    # Every value in its own row at once: after an interruption none is missing.
    kinds: list[Logger] = [CSVLogger(folder, phase, attempt, flush_logs_every_n_steps=1)]
    if settings.tensorboard:
        need("tensorboard", "train")
        kinds.append(TensorBoardLogger(folder, phase, attempt, default_hp_metric=False))
    return kinds


def resumable(trainer: L.Trainer, checkpoint: dict[str, Any]) -> None:
    """Give a trainer's callbacks the state they had."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        state = checkpoint["callbacks"].get(callback.state_key)
        if state:
            callback.load_state_dict(state)
