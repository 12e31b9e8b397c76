"""A study goes on where it was, and its table says what its cells say."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.errors import SettingsError
from realtime.recordings import read_recording
from tests.training.recordings import tiny_recording
from training import study
from training.settings import ExperimentSettings
from training.study import (
    Cell,
    StudySettings,
    differences_of,
    format_rows,
    rows_of,
    run_study,
    variant_of,
)

SMALL = {
    "encoder_size": 8,
    "encoder_layers": 1,
    "decoder_size": 8,
    "prenet_size": 8,
    "attention_size": 8,
    "postnet_channels": 8,
    "conv_channels": (4, 4, 6),
}
PHASE = {"steps": 2, "batch": 2, "stretch_hops": 30, "warm_hops": 5, "learning_rate": 1e-3}
EXPERIMENT = ExperimentSettings.model_validate(
    {
        "test_fraction": 0.4,
        "network": SMALL,
        "optimiser": {"encoder": PHASE, "network": PHASE},
        "log": {"tensorboard": False},
    }
)
SETTINGS = StudySettings(
    gains=(3.0,), seeds=(0,), variants=("causal", "look-ahead 2"), baselines=("causal linear",)
)


@pytest.fixture
def patients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Small patients instead of 112 contacts; the seeds that were simulated."""
    made: list[int] = []
    recording = read_recording(tiny_recording(tmp_path / "patient", minutes=0.8))

    def simulate(settings: study.PatientSettings) -> SimpleNamespace:
        made.append(settings.seed)
        return SimpleNamespace(recording=recording)

    monkeypatch.setattr(study, "simulate", simulate)
    return made


def test_an_interrupted_study_goes_on(tmp_path: Path, patients: list[int]) -> None:
    folder = tmp_path / "study"
    cells = run_study(SETTINGS, EXPERIMENT, folder)
    assert list(cells) == [Cell(3.0, 0, 0, "causal"), Cell(3.0, 0, 0, "look-ahead 2")]
    first = cells[Cell(3.0, 0, 0, "causal")]
    assert "causal linear" in {line["name"] for line in first["others"]}
    assert "speech/silence oracle" in {line["name"] for line in first["others"]}
    # Once for a patient: counted with every variant, they would narrow their interval.
    second = cells[Cell(3.0, 0, 0, "look-ahead 2")]
    assert second["others"] == []
    counts = {row.name: row.count for row in rows_of(cells)}
    assert set(counts.values()) == {1}
    (folder / Cell(3.0, 0, 0, "look-ahead 2").file).unlink()
    told: list[str] = []
    again = run_study(SETTINGS, EXPERIMENT, folder, told.append)
    assert len(told) == 1 and "look-ahead 2" in told[0]
    same = again[Cell(3.0, 0, 0, "look-ahead 2")]
    assert same["network"] == second["network"]
    assert patients == [0, 0]
    run_study(SETTINGS, EXPERIMENT, folder)
    assert patients == [0, 0]
    about = json.loads((folder / "study.json").read_text())
    assert about["baselines"] == ["causal linear"]
    with pytest.raises(SettingsError, match="cells of other settings"):
        run_study(SETTINGS, EXPERIMENT.model_copy(update={"seed": 5}), folder)


def line(name: str, r: float) -> dict[str, object]:
    return {"name": name, "mel_r": r, "mel_r_speech": r / 2, "components_r": r / 10}


def test_rows_are_means_over_patients() -> None:
    cells = {
        Cell(1.1, seed, 0, "causal"): {"network": line("x", r), "others": [line("linear", 0.5)]}
        for seed, r in ((0, 0.6), (1, 0.8))
    }
    network, linear = rows_of(cells)
    assert (network.name, network.count, linear.name) == ("causal", 2, "linear")
    found = network.scores["mel_r"]
    assert not isinstance(found, float)
    # t of one degree of freedom at 95 %: 12.706 times .1.
    assert (found.mean, found.high) == (pytest.approx(0.7), pytest.approx(0.7 + 1.2706, abs=1e-3))
    assert "0.700" in format_rows([network, linear])


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(SettingsError, match="no variant 'clever'"):
        variant_of("clever", EXPERIMENT)
    assert variant_of("look-ahead 4", EXPERIMENT).target_lookahead == 4
    assert variant_of("no pre-net", EXPERIMENT).network.prenet is False
    assert variant_of("offline", EXPERIMENT).network.causal is False


def test_differences_are_paired_over_patients() -> None:
    """Scores of patients differ by .2, those of decoders by .1 each time: an interval of zero."""
    cells: dict[Cell, dict[str, object]] = {}
    for seed, r in ((0, 0.6), (1, 0.8)):
        others = [line("linear", r - 0.1)]
        cells[Cell(1.1, seed, 0, "causal")] = {"network": line("x", r), "others": others}
        cells[Cell(1.1, seed, 0, "offline")] = {"network": line("x", r + 0.2), "others": []}
    linear, offline = differences_of(cells)
    assert [linear.name, offline.name] == ["causal less linear", "causal less offline"]
    for row, expected in ((linear, 0.1), (offline, -0.2)):
        found = row.scores["mel_r"]
        assert row.count == 2 and not isinstance(found, float)
        assert (found.low, found.high) == (pytest.approx(expected), pytest.approx(expected))
