"""A training in a process of its own, to be killed or to run beside others.

    python -m tests.training.job FOLDER JSON

JSON: `settings` for `ExperimentSettings`, `kill_at` a step of phase `network` at which the process
kills itself, `dropout` 0 to switch dropout off, `threads`. Writes `FOLDER/weights.pt`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.networks import decoder, postnet
from tests.bundles import tiny_spec
from tests.training.toy import part
from training.fit import fit
from training.phases import NetworkPhase
from training.settings import ExperimentSettings
from training.workspace import first_process

# Every module with random draws of its own, one sequence per process.
WITH_DROPOUT: tuple[Any, ...] = (decoder, postnet)


def kept(x: Tensor, *_: Any) -> Tensor:
    """No dropout."""
    return x


def die_at(step: int) -> None:
    """No handler, no cleaning up: what a power cut leaves."""
    original = NetworkPhase.on_train_batch_start

    def hook(self: NetworkPhase, *args: Any) -> None:
        if self.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, *args)

    NetworkPhase.on_train_batch_start = hook  # type: ignore[method-assign]


def main(folder: Path, job: dict[str, Any]) -> None:
    torch.set_num_threads(job.get("threads", 1))
    if job.get("kill_at") is not None:
        die_at(job["kill_at"])
    if job.get("dropout") == 0:
        for module in WITH_DROPOUT:
            module.dropout = kept
    train(folder, ExperimentSettings.model_validate(job["settings"]))


def train(folder: Path, settings: ExperimentSettings) -> None:
    """Train, or go on with what `folder` holds."""
    validation = [part(6, seed=2)] if settings.validation.fraction else []
    fitted = fit(
        [part(12)], tiny_spec(), settings, False, validation=validation, folder=folder / "state"
    )
    if first_process():
        torch.save(fitted.network.state_dict(), folder / "weights.pt")
        (folder / "provenance.json").write_text(json.dumps(fitted.provenance))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
