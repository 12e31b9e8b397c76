from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import load_bundle
from models.errors import BundleError, BusyOutputError, RecordingError, SettingsError
from models.networks.network import SpeechNetwork
from models.spec import FrontEndSpec
from tests.bundles import TINY_NETWORK, tiny_spec
from tests.training.recordings import tiny_recording
from tests.training.toy import CLOCK, part, short
from training.evaluate import NETWORK
from training.experiment import export, load, train
from training.fit import build_network, fit
from training.phases import NetworkPhase
from training.settings import ExperimentSettings
from training.stretches import Part, Stretches


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


def test_the_network_that_is_not_causal_goes_through_the_same_phases() -> None:
    offline = TINY_NETWORK.model_copy(update={"causal": False})
    spec = tiny_spec().model_copy(update={"network": offline})
    fitted = fit([part()], spec, short(40, 20), progress=False)
    fresh = fit([part()], spec, short(0, 1), progress=False)
    held = part(10, seed=1)
    assert fitted.provenance["steps"] == {"encoder": 40, "network": 20}
    assert error(fitted.network, held) < 0.95 * error(fresh.network, held)


def error(network: SpeechNetwork, held: Part) -> float:
    ticks = [CLOCK.ticks(k) for k in range(len(held.mel))]
    with torch.inference_mode():
        out = network(torch.from_numpy(held.features)[None], ticks).after[0]
        return float(((out - network.normalise(torch.from_numpy(held.mel))) ** 2).mean())


def test_the_time_limit_stops_and_says_so() -> None:
    fitted = fit([part()], tiny_spec(), short(500, 500, max_minutes=1e-3), progress=False)
    assert fitted.provenance["stopped_by_time"]
    assert fitted.provenance["steps"]["encoder"] < 500


def module_of(settings: ExperimentSettings, lookahead: int = 0) -> NetworkPhase:
    spec = tiny_spec(target_lookahead=lookahead)
    return NetworkPhase(build_network(spec, 8), spec, settings)


def test_teacher_forcing_follows_its_schedule() -> None:
    module = module_of(short(0, 60, teacher_start=0.8, teacher_end=0.2, teacher_until=0.5))
    ratios = []
    for step in (0, 15, 30, 60):
        module.first = step
        ratios.append(module.teacher_ratio)
    assert ratios == pytest.approx([0.8, 0.5, 0.2, 0.2])


def test_lookahead_delays_the_target() -> None:
    mel = torch.randn(2, 30, 80)
    module = module_of(short(0, 60), lookahead=3)
    torch.testing.assert_close(module.target(mel)[:, 3:], mel[:, :-3])
    counted = module.counted(mel)
    assert torch.all(counted[:, :18] == 0) and torch.all(counted[:, 18:] == 1)


def test_frames_of_speech_weigh_more_where_the_decoder_looks() -> None:
    spec = tiny_spec(target_lookahead=3)
    settings = short(0, 60)
    module = NetworkPhase(build_network(spec, 8), spec, settings, speech_threshold=-6.0)
    mel = torch.full((1, 30, 80), -11.0)
    mel[:, 20:24] = -2.0
    counted = module.counted(mel)[0]
    wanted = torch.ones(30)
    wanted[:18] = 0
    wanted[23:27] = settings.loss.speech_weight
    assert settings.loss.speech_weight > 1
    torch.testing.assert_close(counted, wanted)


@pytest.mark.parametrize("rectify", [True, False])
def test_convolutions_start_as_means_of_amplitude_only(rectify: bool) -> None:
    front_end = FrontEndSpec(rectify=rectify, line_hz=0)
    spec = tiny_spec().model_copy(update={"front_end": front_end})
    for layer in build_network(spec, 8).encoder.conv.layers:
        weight = layer.conv.weight.detach()
        alike = torch.allclose(weight, weight[..., :1].expand_as(weight))
        assert alike == rectify
        assert weight.std() > 0


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
