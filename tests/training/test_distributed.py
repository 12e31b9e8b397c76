"""Two processes train what one process would."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.errors import SettingsError
from tests.training import job
from tests.training.toy import part, short
from training.stretches import Shard, Stretches

TOP = {
    "validation": {"fraction": 0.2},
    "augment": {"channel_dropout": 0.2, "noise": 0.1, "time_masks": 1},
    "log": {"tensorboard": False},
}
TWO = {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
STEPS = 6


def losses(folder: Path, phase: str, column: str) -> list[float]:
    with (folder / f"state/logs/{phase}/run_0/metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row[column]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One process and two (gloo), same seed and global batch; dropout off: each has its own."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    settings = short(STEPS, STEPS, check_every=3, top={**TOP, "machine": TWO})
    asked = json.dumps({"settings": settings.model_dump(mode="json"), "dropout": 0})
    command = [sys.executable, "-m", "tests.training.job", str(two), asked]
    done = subprocess.run(command, timeout=200, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        for module in job.WITH_DROPOUT:
            patch.setattr(module, "dropout", job.kept)
        job.train(one, short(STEPS, STEPS, check_every=3, top=TOP))
    return one, two


@pytest.mark.parametrize("phase", ["encoder", "network"])
def test_two_processes_have_the_losses_of_one(phase: str, both: tuple[Path, Path]) -> None:
    """Relative 1e-5: float32 sums in another order; 1.3e-7 measured, and 9e-4 if each process
    normalises its own half of the batch.
    """
    told = [json.loads((folder / "provenance.json").read_text())["phases"] for folder in both]
    assert [phases[phase]["processes"] for phases in told] == [1, 2]
    for column in ("loss", "validation/loss"):
        one, two = (losses(folder, phase, column) for folder in both)
        assert len(one) == (STEPS if column == "loss" else STEPS // 3)
        assert two == pytest.approx(one, rel=1e-5)


def test_shards_are_the_rows_of_the_whole_batch() -> None:
    parts = [part(5)]
    whole = Stretches(parts, 30, 6, 1, seed=3).numbered(0)
    shares = [Stretches(parts, 30, 6, 1, seed=3, shard=Shard(r, 3)).numbered(0) for r in range(3)]
    for i in range(2):
        assert torch.equal(torch.cat([share[i] for share in shares]), whole[i])


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(SettingsError, match="batch of 5 stretches over 2 processes"):
        Stretches([part(5)], 30, 5, 1, seed=0, shard=Shard(0, 2))
