"""`seegvox train`: interrupted, refused, resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.recordings import tiny_recording
from tests.training.toy import short
from tools.cli import main
from training.experiment import load
from training.phases import NetworkPhase


@pytest.fixture(scope="module")
def nwb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_recording(tmp_path_factory.mktemp("recording"), minutes=0.7)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    network = "\n".join(
        f"{key} = {list(value) if isinstance(value, tuple) else value}"
        for key, value in short(0, 0).network.model_dump(exclude_defaults=True).items()
    )
    phase = "batch = 4\nstretch_hops = 60\nwarm_hops = 15\nlearning_rate = 5e-3\ncheck_every = 2"
    path = tmp_path / "settings.toml"
    path.write_text(
        f"test_fraction = 0.4\n[network]\n{network}\n[validation]\nfraction = 0.2\n"
        f"[log]\ntensorboard = false\n[optimiser.encoder]\nsteps = 2\n{phase}\n"
        f"[optimiser.network]\nsteps = 6\n{phase}\n"
    )
    return path


def test_interrupted_and_resumed(
    nwb: Path, toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    original = NetworkPhase.on_train_batch_start

    def interrupt(self: NetworkPhase, *args: Any) -> None:
        if self.step == 3:
            raise KeyboardInterrupt
        original(self, *args)

    out = tmp_path / "experiment"
    asked = ["train", str(nwb), "--settings", str(toml)]
    monkeypatch.setattr(NetworkPhase, "on_train_batch_start", interrupt)
    assert main([*asked, "--out", str(out)]) == 130
    assert f"go on with: seegvox train --resume {out}" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.undo()

    assert main([*asked, "--out", str(out)]) == 2
    assert "holds an interrupted training" in capsys.readouterr().err
    assert main(["train", "--resume", str(out), "--seed", "3"]) == 2
    assert "goes on with the settings it began with" in capsys.readouterr().err

    assert main(["train", "--resume", str(out)]) == 0
    assert f"next: seegvox export {out}" in capsys.readouterr().out
    assert main([*asked, "--out", str(tmp_path / "whole")]) == 0
    resumed, whole = load(out), load(tmp_path / "whole")
    for a, b in zip(
        resumed.trained.network.state_dict().values(),
        whole.trained.network.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b)
    kept = {path.name for path in (out / "training" / "network").iterdir()}
    assert kept == {"last.ckpt", "best.pt", "final.pt", "done.json"}
    assert (out / "training/logs/network/run_0/metrics.csv").exists()
    assert not out.with_name("experiment.training").exists()
    # Features were computed once, for training and validation, and found again.
    assert len(list((tmp_path / ".features").iterdir())) == 3

    assert main(["train", "--resume", str(out)]) == 2
    assert "it is finished" in capsys.readouterr().err


def test_another_recording_is_not_resumed(
    nwb: Path, toml: Path, tmp_path: Path, capsys: Any
) -> None:
    state = tmp_path / "e.training"
    state.mkdir()
    about = {
        "recording": str(nwb),
        "recording_sha256": "0" * 64,
        "settings": short(0, 2).model_dump(mode="json"),
        "overwrite": False,
    }
    (state / "begun.json").write_text(json.dumps(about))
    assert main(["train", "--resume", str(tmp_path / "e")]) == 2
    assert "the recording that was trained on" in capsys.readouterr().err


def test_without_a_recording(tmp_path: Path, capsys: Any) -> None:
    assert main(["train", "--out", str(tmp_path / "e")]) == 2
    assert "no recording was given" in capsys.readouterr().err
