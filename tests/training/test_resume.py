"""An interrupted training goes on to the result that it would have had."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training import job
from tests.training.toy import short
from training import checkpoints
from training.errors import TrainingError
from training.phases import NetworkPhase
from training.settings import ExperimentSettings

# Dropout, teacher forcing and the one-cycle schedule are on by default; these are too.
EVERYTHING = {
    "validation": {"fraction": 0.2, "patience": 50},
    "augment": {"channel_dropout": 0.2, "gain_jitter": 0.1, "noise": 0.2, "time_masks": 1},
    "log": {"tensorboard": False},
}
SETTINGS = short(6, 12, check_every=3, top=EVERYTHING, averaging={"start": 0.3})


class Interruption(Exception):
    pass


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes training raise at a step of the second phase, until undone."""
    original = NetworkPhase.on_train_batch_start

    def at(step: int) -> pytest.MonkeyPatch:
        def hook(self: NetworkPhase, *args: Any) -> None:
            if self.step == step:
                raise Interruption
            original(self, *args)

        monkeypatch.setattr(NetworkPhase, "on_train_batch_start", hook)
        return monkeypatch

    return at


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    job.train(folder, SETTINGS)
    return folder


def assert_same(folder: Path, expected: Path) -> None:
    """Bit for bit: one machine, one number of threads, float32 on the CPU."""
    wanted = torch.load(expected / "weights.pt", weights_only=True)
    for name, found in torch.load(folder / "weights.pt", weights_only=True).items():
        assert torch.equal(found, wanted[name]), name
    told, meant = (json.loads((f / "provenance.json").read_text()) for f in (folder, expected))
    assert told["steps"] == meant["steps"] == {"encoder": 6, "network": 12}
    assert told["phases"]["network"]["best_score"] == meant["phases"]["network"]["best_score"]


def test_killed_and_resumed_it_gives_the_same_weights(uninterrupted: Path, tmp_path: Path) -> None:
    """SIGKILL two steps after a checkpoint: no handler runs, nothing is flushed."""
    asked = {
        "settings": SETTINGS.model_dump(mode="json"),
        "kill_at": 8,
        "threads": torch.get_num_threads(),
    }
    command = [sys.executable, "-m", "tests.training.job", str(tmp_path), json.dumps(asked)]
    done = subprocess.run(command, timeout=200, stderr=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert (tmp_path / "state" / "network" / "last.ckpt").exists()
    assert not (tmp_path / "weights.pt").exists()
    job.train(tmp_path, SETTINGS)
    assert_same(tmp_path, uninterrupted)


@pytest.mark.parametrize("step", [0, 3, 11])
def test_an_exception_anywhere_and_resumed(
    step: int, uninterrupted: Path, tmp_path: Path, interrupted: Any
) -> None:
    """At the start of a phase, right after a checkpoint, and in the last step."""
    patch = interrupted(step)
    with pytest.raises(Interruption):
        job.train(tmp_path, SETTINGS)
    patch.undo()
    job.train(tmp_path, SETTINGS)
    assert_same(tmp_path, uninterrupted)


def test_a_full_disk_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    checkpoints.write_tensors({"a": torch.ones(3)}, path)
    before = path.read_bytes()

    def full(tensors: Any, stream: Any) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"No space left.*what was there before is kept"):
        checkpoints.write_tensors({"a": torch.zeros(3)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_truly_full_device_is_the_same_error(tmp_path: Path) -> None:
    """torch's own writer reports it in a way of its own."""
    path = tmp_path / "last.ckpt"
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"cannot be written \(.*; expected room on the disk"):
        checkpoints.write_tensors({"a": torch.zeros(100_000)}, path)
    assert not path.exists()


def test_a_training_stops_when_its_checkpoint_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on from the one before, to the same result."""
    calls = []
    original = torch.save

    def full_at_the_third(tensors: Any, stream: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(tensors, stream)

    plain = short(0, 6, check_every=2, top={"log": {"tensorboard": False}})
    monkeypatch.setattr(torch, "save", full_at_the_third)
    with pytest.raises(TrainingError, match="No space left"):
        job.train(tmp_path, plain)
    assert torch.load(tmp_path / "state/network/last.ckpt", weights_only=True)["step"] == 4
    monkeypatch.undo()
    job.train(tmp_path, plain)
    (tmp_path / "other").mkdir()
    job.train(tmp_path / "other", plain)
    for a, b in zip(
        torch.load(tmp_path / "weights.pt", weights_only=True).values(),
        torch.load(tmp_path / "other/weights.pt", weights_only=True).values(),
        strict=True,
    ):
        assert torch.equal(a, b)


@contextmanager
def disk_of(folder: Path, size: int) -> Iterator[Path]:
    """A file system of its own with so many bytes; skips where one may not be mounted."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_runs_full_while_training(tmp_path: Path) -> None:
    """A real one, which holds one checkpoint and not two; then the state is moved to a larger."""
    plain = short(0, 6, check_every=2, top={"log": {"tensorboard": False}})
    (tmp_path / "other").mkdir()
    job.train(tmp_path / "other", plain)
    last = tmp_path / "other/state/network/last.ckpt"
    with disk_of(tmp_path / "small", int(1.6 * last.stat().st_size)) as small:
        with pytest.raises(TrainingError, match=r"last.ckpt cannot be written.*go on with"):
            job.train(small, plain)
        left = torch.load(small / "state/network/last.ckpt", weights_only=True)
        assert left["step"] == 2
        assert not list(small.rglob("*.partial*"))
        shutil.copytree(small, tmp_path / "larger")
    job.train(tmp_path / "larger", plain)
    weights = (
        torch.load(folder / "weights.pt", weights_only=True).values()
        for folder in (tmp_path / "larger", tmp_path / "other")
    )
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_a_damaged_checkpoint_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "state" / "network" / "last.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="cannot be read"):
        job.train(tmp_path, ExperimentSettings.model_validate(short(0, 6).model_dump()))
