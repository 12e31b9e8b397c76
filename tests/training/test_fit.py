from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import load_bundle
from models.errors import BundleError, BusyOutputError, RecordingError, SettingsError
from models.hops import HopClock
from models.networks.causal import CausalNetwork
from tests.bundles import TINY_NETWORK, tiny_spec
from tests.training.recordings import tiny_recording
from training.evaluate import NETWORK
from training.experiment import export, load, train
from training.fit import fit
from training.lightning_module import NetworkPhase
from training.settings import ExperimentSettings, OptimiserSettings, PhaseSettings
from training.stretches import Part, Stretches

CLOCK = HopClock(Fraction(1024))


def short(encoder: int, network: int, **more: float) -> ExperimentSettings:
    def phase(steps: int) -> PhaseSettings:
        return PhaseSettings(
            steps=steps, batch=4, stretch_hops=60, warm_hops=15, learning_rate=5e-3
        )

    optimiser = OptimiserSettings(encoder=phase(encoder), network=phase(network), **more)
    return ExperimentSettings(network=TINY_NETWORK, optimiser=optimiser, test_fraction=0.4)


def part(seconds: float = 20, seed: int = 0) -> Part:
    """Mel frames that follow the features of a moment ago: something to learn."""
    rng = np.random.default_rng(seed)
    samples = CLOCK.end(int(seconds / 0.015) - 1)
    drive = np.repeat(rng.standard_normal((samples // 128 + 1, 8)), 128, axis=0)[:samples]
    features = (drive + 0.1 * rng.standard_normal(drive.shape)).astype(np.float32)
    ends = np.array([CLOCK.end(k) - 20 for k in range(int(seconds / 0.015))])
    mixing = np.random.default_rng(99).standard_normal((8, 80))
    mel = -6 + 2 * drive[np.maximum(ends, 0)] @ mixing / 3
    return Part(features, mel.astype(np.float32), CLOCK)


def test_stretches_are_runs_of_their_own() -> None:
    whole = part(5)
    features, mel = next(iter(Stretches([whole], 30, 6, 1, seed=0)))
    assert features.shape == (6, CLOCK.end(29), 8)
    assert mel.shape == (6, 30, 80)
    for row in range(6):
        wanted = mel[row].numpy()
        places = range(len(whole.mel) - 30)
        (hop,) = [k for k in places if np.array_equal(whole.mel[k : k + 30], wanted)]
        start = CLOCK.end(hop - 1)
        np.testing.assert_array_equal(features[row], whole.features[start:][: CLOCK.end(29)])


def test_a_part_shorter_than_a_stretch_is_refused() -> None:
    with pytest.raises(RecordingError, match="66 hops; expected more than 100"):
        Stretches([part(1)], 100, 1, 1, 0)


def test_training_learns_and_its_seed_decides() -> None:
    settings = short(60, 50)
    first, second = (fit([part()], tiny_spec(), settings, progress=False) for _ in range(2))
    for (name, a), b in zip(
        first.network.state_dict().items(), second.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    fresh = fit([part()], tiny_spec(), short(0, 1), progress=False)
    held = part(10, seed=1)
    # Untrained it gives the mean, an error of 1; what was learned must hold on another part.
    assert error(first.network, held) < 0.9 * error(fresh.network, held)
    assert first.provenance["steps"] == {"encoder": 60, "network": 50}
    assert not first.provenance["stopped_by_time"]


def error(network: CausalNetwork, held: Part) -> float:
    ticks = [CLOCK.ticks(k) for k in range(len(held.mel))]
    with torch.inference_mode():
        out = network(torch.from_numpy(held.features)[None], ticks).after[0]
        return float(((out - network.normalise(torch.from_numpy(held.mel))) ** 2).mean())


def test_the_time_limit_stops_and_says_so() -> None:
    fitted = fit([part()], tiny_spec(), short(500, 500, max_minutes=1e-3), progress=False)
    assert fitted.provenance["stopped_by_time"]
    assert fitted.provenance["steps"]["encoder"] < 500


def test_teacher_forcing_follows_its_schedule() -> None:
    phase = short(0, 60).optimiser.network
    settings = OptimiserSettings(
        network=phase, teacher_start=0.8, teacher_end=0.2, teacher_until=0.5
    )
    network = CausalNetwork(TINY_NETWORK, 8, 10, 20)
    module = NetworkPhase(network, CLOCK, settings.network, settings)
    ratios = []
    for step in (0, 15, 30, 60):
        type(module).global_step = property(lambda self, step=step: step)  # type: ignore[assignment]
        ratios.append(module.teacher_ratio)
    del type(module).global_step
    assert ratios == pytest.approx([0.8, 0.5, 0.2, 0.2])


def test_lookahead_delays_the_target() -> None:
    settings = OptimiserSettings()
    network = CausalNetwork(TINY_NETWORK, 8, 10, 20)
    mel = torch.randn(2, 30, 80)
    module = NetworkPhase(network, CLOCK, settings.network, settings, lookahead=3)
    torch.testing.assert_close(module.target(mel)[:, 3:], mel[:, :-3])


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    nwb = tiny_recording(folder, minutes=1.0)
    train(nwb, short(40, 20), folder / "experiment", progress=False)
    return folder


def test_from_a_recording_to_a_bundle(experiment: Path) -> None:
    done = export(experiment / "experiment", experiment / "bundle")
    spec = load_bundle(experiment / "bundle").spec
    assert spec.proof["torch_vs_onnx_max"] < 1e-4
    assert spec.proof["seconds"] >= 60
    line = next(line for line in done.scores.lines if line.name == NETWORK)
    # A strong tone-driven patient: even this tiny network follows the envelope.
    assert line.mel_r > line.chance_95
    assert spec.scores["lines"][0]["mel_r"] == line.mel_r
    assert spec.contacts[0].startswith("L") or spec.contacts[0].startswith("R")
    with pytest.raises(BusyOutputError):
        export(experiment / "experiment", experiment / "bundle")


def test_weights_of_another_shape_are_refused(experiment: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(experiment / "experiment", tmp_path / "e"))
    torch.save({"other": torch.zeros(1)}, folder / "weights.pt")
    with pytest.raises(BundleError, match="weights"):
        load(folder)


def test_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no experiment"):
        load(tmp_path)


def test_a_recording_too_short_to_hold_anything_out(tmp_path: Path) -> None:
    nwb = tiny_recording(tmp_path, minutes=0.15)
    with pytest.raises((RecordingError, SettingsError)):
        train(nwb, ExperimentSettings(test_fraction=0.6), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
