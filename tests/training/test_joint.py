"""Training over patients of different montages, and starting from such a training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.bundle import load_bundle
from models.errors import RecordingError, SettingsError
from models.hops import encoder_stride
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec
from tests.bundles import TINY_NETWORK, tiny_spec
from tests.training.recordings import tiny_recording
from tests.training.toy import CLOCK, part, short
from tools.cli import main
from training.experiment import export, load
from training.fit import Fitted, build_network, fit, set_moments
from training.joint.contrast import contrastive, embedding, watched
from training.joint.experiment import patient_names
from training.joint.fit import Patient, fit_joint
from training.joint.network import joined, shared_state
from training.joint.phases import JointNetworkPhase
from training.joint.settings import JointSettings
from training.joint.start import FrozenNetworkPhase
from training.joint.stretches import JointStretches, patient_parts
from training.phases import NetworkPhase
from training.settings import AugmentSettings, ExperimentSettings
from training.stretches import Part

WIDE = tuple(f"{shaft}{n}" for shaft in ("LA", "LB", "RC") for n in range(1, 5))


def wide_spec() -> BundleSpec:
    return tiny_spec().model_copy(update={"contacts": WIDE})


def wide_part(seconds: float = 20, seed: int = 0) -> Part:
    """Twelve channels: those of the toy in another order, and four of noise; louder speech."""
    toy = part(seconds, seed)
    noise = np.random.default_rng(seed + 50).standard_normal((len(toy.features), 4))
    features = np.concatenate([noise.astype(np.float32), toy.features[:, ::-1]], 1)
    return Part(features, 1.5 * toy.mel + 2, CLOCK)


def pair(seed: int = 0) -> list[Patient]:
    return [
        Patient("narrow", tiny_spec(), [part(seed=seed)]),
        Patient("wide", wide_spec(), [wide_part(12, seed=seed + 1)]),
    ]


def settings(encoder: int, network: int, **top: Any) -> ExperimentSettings:
    return short(encoder, network, top=top)


def test_the_contrastive_loss_by_hand() -> None:
    degrees = np.array([0.0, 30.0, 40.0, 100.0])
    lengths = np.array([0.1, 2.0, 1.0, 0.5])  # which do not count
    points = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], 1)
    patients = torch.tensor([0, 0, 1, 1])

    def chord(angle: float) -> float:
        return 2 * float(np.sin(np.radians(angle) / 2))

    within = np.mean([chord(30) ** 2, chord(60) ** 2])
    distances = np.array([chord(angle) for angle in (40, 100, 10, 70)])
    across = np.mean(np.maximum(0, 0.75 - distances) ** 2)
    found = contrastive(torch.tensor(points * lengths[:, None]), patients, 0.75)
    assert float(found) == pytest.approx((within + across) / 2, rel=1e-5)


def test_it_does_not_draw_embeddings_to_zero() -> None:
    """Its gradient is at right angles to each embedding: lengths stay."""
    points = torch.randn(6, 5, generator=torch.manual_seed(0)).requires_grad_()
    contrastive(points, torch.tensor([0, 0, 0, 1, 1, 1]), 1.0).backward()
    assert points.grad is not None
    along = (points.grad * points.detach()).sum(1) / points.detach().norm(dim=1)
    assert float(points.grad.norm()) > 0.01 and float(along.abs().max()) < 1e-6


def test_its_gradient_draws_together_within_and_apart_across_up_to_the_margin() -> None:
    def moved(points: list[list[float]], patients: list[int]) -> tuple[float, float]:
        x = torch.tensor(points, requires_grad=True)
        contrastive(x, torch.tensor(patients), 0.5).backward()
        before, after = x.detach(), x.detach() - 0.01 * x.grad
        return float((before[0] - before[1]).norm()), float((after[0] - after[1]).norm())

    before, after = moved([[0.1, 0.2], [0.3, 0.1]], [0, 0])
    assert after < before
    before, after = moved([[0.1, 0.2], [0.2, 0.3]], [0, 1])
    assert after > before
    before, after = moved([[0.1, 0.9], [0.9, 0.2]], [0, 1])
    assert after == before
    before, after = moved([[0.1, 0.2], [0.1, 0.2]], [0, 1])
    assert after == before == 0


def joint_of(patients: list[Patient]) -> tuple[SpeechNetwork, list[SpeechNetwork]]:
    torch.manual_seed(0)
    own = [build_network(p.spec, p.training[0].features.shape[1]) for p in patients]
    for network, patient in zip(own, patients, strict=True):
        set_moments(network, patient.training[0].mel)
    return joined(own, patients[0].spec), own


def marked(patients: list[Patient], joint: SpeechNetwork, own: list[SpeechNetwork]) -> list[Part]:
    return [
        cut
        for i, (patient, network) in enumerate(zip(patients, own, strict=True))
        for cut in patient_parts(patient.training, i, 12, network, joint)
    ]


@pytest.mark.parametrize("causal", [True, False])
def test_together_each_decodes_as_it_would_alone(causal: bool) -> None:
    shapes = TINY_NETWORK.model_copy(update={"causal": causal})
    patients = [replace(p, spec=p.spec.model_copy(update={"network": shapes})) for p in pair()]
    joint, own = joint_of(patients)
    assert own[0].decoder is own[1].decoder and own[0].postnet is own[1].postnet
    assert own[0].encoder.grus is own[1].encoder.grus and own[0].bridge is own[1].bridge
    assert own[0].encoder.conv is not own[1].encoder.conv
    parts = marked(patients, joint, own)
    order = [1, 0, 0, 1, 1]
    cuts = [parts[i].cut(40 * row, 40) for row, i in enumerate(order)]
    features = torch.from_numpy(np.stack([f for f, _ in cuts]))
    mel = torch.from_numpy(np.stack([m for _, m in cuts]))
    ticks = [CLOCK.ticks(k) for k in range(40)]
    joint.eval()
    with torch.inference_mode(), watched(joint.encoder) as frames:
        together = joint(features, ticks).after
    assert len(frames) == 1
    assert embedding(frames[0], 5).shape == (5, joint.encoder.size)
    for row, i in enumerate(order):
        alone, truth = patients[i].training[0].cut(40 * row, 40)
        own[i].eval()
        with torch.inference_mode():
            single = own[i](torch.from_numpy(alone)[None], ticks).after[0]
        # A batch of one and one of five are summed in another order.
        torch.testing.assert_close(together[row], single, atol=1e-5, rtol=1e-4)
        wanted = own[i].normalise(torch.from_numpy(truth))
        torch.testing.assert_close(joint.normalise(mel)[row], wanted, atol=1e-4, rtol=1e-4)


def test_batches_hold_as_many_of_each_and_augmentation_leaves_the_marker() -> None:
    patients = pair()
    joint, own = joint_of(patients)
    changes = AugmentSettings(channel_dropout=0.5, noise=1.0, gain_jitter=0.5, time_masks=2)
    batches = JointStretches(marked(patients, joint, own), 30, 7, 3, 0, changes=changes)
    for features, _ in batches:
        assert features.shape[2] == 13
        whose = features[:, :, -1]
        assert torch.equal(whose, whose[:, :1].expand_as(whose))
        assert whose[:, 0].tolist() == [1, 2, 1, 2, 1, 2, 1]


def error(network: SpeechNetwork, held: Part) -> float:
    """Mean squared error of normalised frames."""
    ticks = [CLOCK.ticks(k) for k in range(len(held.mel))]
    with torch.inference_mode():
        out = network(torch.from_numpy(np.asarray(held.features))[None], ticks).after[0]
        return float(((out - network.normalise(torch.from_numpy(held.mel))) ** 2).mean())


@pytest.fixture(scope="module")
def fitted() -> list[Fitted]:
    return fit_joint(pair(), settings(60, 50), progress=False)


def test_both_learn_with_equal_shared_weights(fitted: list[Fitted]) -> None:
    narrow, wide = (one.network for one in fitted)
    fresh = fit_joint(pair(), settings(0, 1), progress=False)
    held = [part(10, seed=7), wide_part(10, seed=7)]
    for one, untrained, alien in zip(fitted, fresh, held, strict=True):
        # Untrained it gives the mean, an error of 1; what was learned must hold on another part.
        assert error(one.network, alien) < 0.95 * error(untrained.network, alien)
    a, b = shared_state(narrow), shared_state(wide)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert not any(p is q for p in narrow.parameters() for q in wide.parameters())
    assert narrow.encoder.conv.layers[0].conv.weight.shape[1] == 8
    assert wide.encoder.conv.layers[0].conv.weight.shape[1] == 12
    second = (network.encoder.conv.layers[1].conv.weight for network in (narrow, wide))
    assert not torch.equal(*second)
    torch.testing.assert_close(
        wide.mel_mean, torch.from_numpy(pair()[1].training[0].mel.mean(0)), atol=1e-5, rtol=0
    )
    assert not torch.allclose(narrow.mel_mean, wide.mel_mean)
    assert fitted[0].provenance["joint"]["patients"] == ["narrow", "wide"]
    assert fitted[1].provenance["training_minutes"] == 0.2


def test_the_seed_decides() -> None:
    first, second, other = (
        fit_joint(pair(), settings(4, 3, seed=seed), progress=False) for seed in (1, 1, 2)
    )
    for a, b in zip(first, second, strict=True):
        for name, value in a.network.state_dict().items():
            assert torch.equal(value, b.network.state_dict()[name]), name
    weight = "decoder.gru.weight_ih_l0"
    one, another = (found[0].network.state_dict()[weight] for found in (first, other))
    assert not torch.equal(one, another)


def spread(network: SpeechNetwork, patients: list[Patient]) -> tuple[float, float]:
    """Mean distance of embeddings' directions within and across patients, of a joint network."""
    joint, own = network, [build_network(p.spec, p.training[0].features.shape[1]) for p in patients]
    batches = JointStretches(marked(patients, joint, own), 60, 16, 1, 5)
    features, _ = next(iter(batches))
    joint.eval()
    with torch.inference_mode(), watched(joint.encoder) as frames:
        joint.encode(features)
    embedded = embedding(frames[0], 16)
    unit = torch.nn.functional.normalize(embedded, dim=1)
    distances = ((unit[:, None] - unit[None]) ** 2).sum(2).sqrt()
    same = torch.arange(16) % 2 == torch.arange(16)[:, None] % 2
    others = ~torch.eye(16, dtype=torch.bool)
    return float(distances[same & others].mean()), float(distances[~same].mean())


def test_training_with_it_separates_patients() -> None:
    def trained(weight: float) -> tuple[float, float]:
        table = JointSettings(contrastive=weight)
        found = fit_joint(pair(), settings(50, 0, joint=table), progress=False)
        return spread(joined([one.network for one in found], tiny_spec()), pair())

    (within, across), (plain_within, plain_across) = trained(0.3), trained(0.0)
    assert across / within > 1.5 * plain_across / plain_within
    assert within < plain_within


def test_discrete_output_and_validation_and_average() -> None:
    shapes = TINY_NETWORK.model_copy(
        update={"output": TINY_NETWORK.output.model_copy(update={"kind": "discrete", "codes": 6})}
    )
    patients = [
        replace(p, spec=p.spec.model_copy(update={"network": shapes}), validation=[held])
        for p, held in zip(pair(), (part(6, seed=8), wide_part(6, seed=9)), strict=True)
    ]
    given = short(
        3,
        4,
        check_every=2,
        top={"network": shapes, "loss": {"kind": "cross_entropy", "pearson": 0.1}},
        averaging={"start": 0.5, "norm_batches": 2},
    )
    narrow, wide = fit_joint(patients, given, progress=False)
    assert narrow.provenance["phases"]["network"]["best_step"] is not None
    assert torch.equal(narrow.network.decoder.codes.book, wide.network.decoder.codes.book)
    assert torch.isfinite(narrow.network.decoder.codes.book).all()


def test_refused(fitted: list[Fitted]) -> None:
    narrow, wide = pair()
    plain = settings(1, 1)

    def refused(kind: type[Exception], match: str, *patients: Patient, **top: Any) -> None:
        with pytest.raises(kind, match=match):
            fit_joint(patients, plain.model_copy(update=top), progress=False)

    refused(SettingsError, "joint training of 1 patient", narrow)
    refused(SettingsError, "named narrow, narrow", narrow, replace(wide, name="narrow"))
    smaller = TINY_NETWORK.model_copy(update={"encoder_size": 12})
    other = replace(wide, spec=wide.spec.model_copy(update={"network": smaller}))
    refused(SettingsError, "network.encoder_size of narrow and of wide differ", narrow, other)
    later = replace(wide, spec=wide.spec.model_copy(update={"target_lookahead": 2}))
    refused(SettingsError, "target_lookahead of narrow", narrow, later)
    fast = Fraction(2048)
    update = {"fs_hz": fast, "stride": encoder_stride(fast)}
    faster = replace(wide, spec=wide.spec.model_copy(update=update))
    refused(RecordingError, "at 1024 Hz, wide at 2048 Hz; expected one rate", narrow, faster)
    short_part = replace(wide, training=[wide_part(0.8)])
    refused(RecordingError, "training part of wide has 53 hops", narrow, short_part)
    third = Patient("third", tiny_spec(), [part(seed=3)])
    refused(SettingsError, "batch is 4 for 3 patients; expected at least 6", narrow, wide, third)
    several = plain.machine.model_copy(update={"devices": 2})
    refused(SettingsError, "compares all stretches", narrow, wide, machine=several)
    begun = JointSettings(start_from="somewhere")
    refused(SettingsError, "several recordings", narrow, wide, joint=begun)


def test_unknown_keys_and_freezing_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        ExperimentSettings.model_validate({"joint": {"marign": 1.0}})
    with pytest.raises(ValueError, match="untrained weights would be frozen"):
        ExperimentSettings.model_validate({"joint": {"freeze_shared": True}})


def test_names_of_patients() -> None:
    assert patient_names([Path("a/p1.nwb"), Path("b/p2.nwb")]) == ["p1", "p2"]
    assert patient_names([Path("a/s.nwb"), Path("b/s.nwb")]) == ["a-s", "b-s"]
    assert patient_names([Path("a/training.nwb"), Path("b/s.nwb")]) == ["a-training", "b-s"]
    bids = [Path(f"{place}/sub-{n}_task-x_ieeg.nwb") for place, n in (("a", 1), ("a", 2))]
    assert patient_names(bids) == ["sub-1", "sub-2"]
    with pytest.raises(SettingsError, match="the same name twice"):
        patient_names([Path("a/s.nwb"), Path("a/s.nwb")])


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("recordings")
    found = []
    for name, seed, shafts in (("anna", 0, 2), ("bert", 1, 3), ("cleo", 2, 2)):
        found.append(tiny_recording(folder, 0.7, seed, shafts=shafts, subject=f"sub-{name}"))
    return found


def toml_of(folder: Path, encoder: int, network: int) -> Path:
    shapes = "\n".join(
        f"{key} = {list(value) if isinstance(value, tuple) else value}"
        for key, value in TINY_NETWORK.model_dump(exclude_defaults=True).items()
    )
    phase = "batch = 4\nstretch_hops = 60\nwarm_hops = 15\nlearning_rate = 5e-3\ncheck_every = 2"
    path = folder / "settings.toml"
    path.write_text(
        f"test_fraction = 0.4\n[network]\n{shapes}\n[joint]\nmargin = 0.4\n"
        f"[log]\ntensorboard = false\n[optimiser.encoder]\nsteps = {encoder}\n{phase}\n"
        f"[optimiser.network]\nsteps = {network}\n{phase}\n"
    )
    return path


@pytest.fixture(scope="module")
def joint_folder(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joint")
    toml = toml_of(folder, 8, 6)
    asked = ["train", *map(str, recordings[:2]), "--settings", str(toml)]
    assert main([*asked, "--out", str(folder / "both")]) == 0
    return folder / "both"


def test_from_two_recordings_to_two_proven_bundles(joint_folder: Path, tmp_path: Path) -> None:
    anna, bert = (load(joint_folder / name) for name in ("sub-anna", "sub-bert"))
    a, b = (shared_state(one.trained.network) for one in (anna, bert))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert len(anna.trained.spec.contacts) == 8 and len(bert.trained.spec.contacts) == 12
    assert not np.array_equal(anna.trained.statistics.mean, bert.trained.statistics.mean[:8])
    assert bert.settings.joint.margin == 0.4
    listed = json.loads((joint_folder / "joint.json").read_text())
    assert [one["name"] for one in listed] == ["sub-anna", "sub-bert"]
    assert (joint_folder / "training/logs/network/run_0/metrics.csv").exists()
    header = (joint_folder / "training/logs/network/run_0/metrics.csv").read_text().splitlines()[0]
    assert "train/contrastive" in header
    for name in ("sub-anna", "sub-bert"):
        export(joint_folder / name, tmp_path / name)
        spec = load_bundle(tmp_path / name).spec
        assert spec.name == name
        assert spec.proof["torch_vs_onnx_max"] < spec.proof["tolerance"] <= 1e-4


def test_interrupted_and_resumed(
    recordings: list[Path],
    joint_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    original = JointNetworkPhase.on_train_batch_start

    def interrupt(self: NetworkPhase, *args: Any) -> None:
        if self.step == 3:
            raise KeyboardInterrupt
        original(self, *args)

    out = tmp_path / "both"
    asked = ["train", *map(str, recordings[:2]), "--settings", str(toml_of(tmp_path, 8, 6))]
    monkeypatch.setattr(JointNetworkPhase, "on_train_batch_start", interrupt)
    assert main([*asked, "--out", str(out)]) == 130
    assert not out.exists()
    monkeypatch.undo()
    assert main(["train", str(recordings[0]), "--resume", str(out)]) == 2
    assert "the same recordings in the same order: sub-anna, sub-bert" in capsys.readouterr().err
    assert main(["train", "--resume", str(out)]) == 0
    assert f"next: seegvox export {out / 'sub-bert'}" in capsys.readouterr().out
    for name in ("sub-anna", "sub-bert"):
        whole, resumed = (load(f / name).trained.network for f in (joint_folder, out))
        for key, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[key]), key


@pytest.mark.parametrize("frozen", [True, False])
def test_a_new_patient_starts_from_the_shared_part(
    fitted: list[Fitted], tmp_path: Path, frozen: bool
) -> None:
    base = saved(fitted[0], tmp_path / "base")
    table = JointSettings(start_from=str(base), freeze_shared=frozen)
    new = [wide_part(seed=20)]
    given = short(20, 30, top={"joint": table}, averaging={"start": 0.6, "norm_batches": 2})
    tuned = fit(new, wide_spec(), given, progress=False)
    start = fit(new, wide_spec(), settings(0, 1, joint=table), progress=False)
    held = wide_part(10, seed=21)
    assert error(tuned.network, held) < 0.95 * error(start.network, held)
    before, after = shared_state(fitted[0].network), shared_state(tuned.network)
    same = [torch.equal(before[name], after[name]) for name in before]
    assert (
        all(same)
        if frozen
        else not any(
            torch.equal(before[name], after[name])
            for name, _ in tuned.network.named_parameters()
            if name in before
        )
    )
    assert tuned.network.encoder.conv.layers[0].conv.weight.shape[1] == 12
    assert tuned.provenance["started_from"]["freeze_shared"] is frozen
    assert all(p.requires_grad for p in tuned.network.parameters())


def saved(one: Fitted, folder: Path) -> Path:
    """An experiment as far as it is started from."""
    from models.frontend import Statistics
    from training.experiment import save
    from training.package import Trained

    recording = folder.with_suffix(".nwb")
    recording.write_bytes(b"not read")
    statistics = Statistics(np.zeros(8, np.float32), np.ones(8, np.float32))
    save(Trained(tiny_spec(), one.network, statistics), recording, settings(1, 1), folder)
    return folder


def test_frozen_batch_norm_stays_in_training_mode_of_nothing_else() -> None:
    module = FrozenNetworkPhase(build_network(tiny_spec(), 8), tiny_spec(), settings(0, 1))
    module.train()
    norms = [layer.norm for layer in module.network.postnet.layers]
    assert norms and not any(norm.training for norm in norms)
    assert all(layer.norm.training for layer in module.network.encoder.conv.layers)
    assert module.network.decoder.prenet.training


def test_starting_from_what_does_not_fit(fitted: list[Fitted], tmp_path: Path) -> None:
    base = saved(fitted[0], tmp_path / "base")

    def refused(kind: type[Exception], match: str, path: Path, spec: BundleSpec) -> None:
        given = settings(1, 0, joint=JointSettings(start_from=str(path)))
        with pytest.raises(kind, match=match):
            fit([wide_part()], spec, given, progress=False)

    refused(SettingsError, "is no experiment", tmp_path, wide_spec())
    smaller = TINY_NETWORK.model_copy(update={"decoder_size": 12})
    other = wide_spec().model_copy(update={"network": smaller})
    refused(SettingsError, "network.decoder_size is 12; expected 16", base, other)
    odd = Fraction(950)
    update = {"fs_hz": odd, "stride": 12}
    refused(RecordingError, "encoder frames fill", base, wide_spec().model_copy(update=update))
    (tmp_path / "joint.json").write_text("[]")
    refused(SettingsError, "experiments of several patients", tmp_path, wide_spec())


def test_fine_tuning_on_the_command_line(
    recordings: list[Path], joint_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    toml = tmp_path / "tune.toml"
    toml.write_text(
        "test_fraction = 0.4\n[log]\ntensorboard = false\n[optimiser.encoder]\nsteps = 0\n"
        "batch = 4\nstretch_hops = 60\nwarm_hops = 15\nlearning_rate = 5e-3\n"
        "[optimiser.network]\nsteps = 2\n"
        "batch = 4\nstretch_hops = 60\nwarm_hops = 15\nlearning_rate = 5e-3\n"
    )
    cleo, out = str(recordings[2]), tmp_path / "cleo"
    asked = ["train", cleo, "--settings", str(toml), "--out", str(out)]
    assert main([*asked, "--freeze-shared"]) == 2
    assert "untrained weights would be frozen" in capsys.readouterr().err
    assert main([*asked, "--from", str(joint_folder), "--freeze-shared"]) == 2
    assert "name one of the folders" in capsys.readouterr().err
    assert main([*asked, "--from", str(joint_folder / "sub-bert"), "--freeze-shared"]) == 0
    before, after = (
        shared_state(load(f).trained.network) for f in (joint_folder / "sub-bert", out)
    )
    assert all(torch.equal(before[name], after[name]) for name in before)
    about = load(out).trained.spec.provenance["started_from"]
    assert about["experiment"] == str((joint_folder / "sub-bert").resolve())


def test_recordings_that_do_not_go_together(
    recordings: list[Path], tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out"

    def refused(*given: Path) -> str:
        asked = ["train", *map(str, given), "--settings", str(toml_of(tmp_path, 1, 1))]
        assert main([*asked, "--out", str(out)]) == 2
        assert not out.exists()
        return str(capsys.readouterr().err)

    assert "the same name twice" in refused(recordings[0], recordings[0])
    root = Path(shutil.copytree(recordings[0].parents[2], tmp_path / "copied"))
    copy = root / recordings[0].relative_to(recordings[0].parents[2])
    for found in copy.parent.glob("*_ieeg.nwb"):
        renamed = found.rename(found.with_name(found.name.replace("anna", "anne")))
    for found in copy.parent.glob("sub-anna_*"):
        found.rename(found.with_name(found.name.replace("anna", "anne")))
    line = refused(recordings[0], renamed)
    assert "sub-anne: " in line and "the same content" in line
    slow = refused(*recordings[:2], recordings[2])
    assert "batch is 4 for 3 patients" in slow and not out.with_name("out.training").exists()
    silent = tiny_recording(tmp_path, 0.7, 3, subject="sub-silent", silent=True)
    assert "sub-silent: no speech in the training part" in refused(recordings[1], silent)
