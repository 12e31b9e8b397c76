"""Learning rates, augmentation, stopping and averaging."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import SettingsError
from models.toml import validated
from tests.bundles import tiny_spec
from tests.training import job
from tests.training.toy import part, short
from training import machine
from training.augment import augment
from training.callbacks import averaging
from training.errors import TrainingError
from training.fit import build_network, fit
from training.phases import EncoderPhase, NetworkPhase
from training.schedules import make_schedule
from training.settings import AugmentSettings, ExperimentSettings, PhaseSettings
from training.shared_norm import SharedNorm
from training.stretches import Stretches, Tiles

FS = Fraction(1000)


def rates(steps: int = 100, **schedule: Any) -> list[float]:
    phase = PhaseSettings(
        steps=steps,
        batch=1,
        stretch_hops=20,
        warm_hops=0,
        learning_rate=0.5,
        schedule=schedule,  # type: ignore[arg-type]
    )
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule_ = make_schedule(optimiser, phase)
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule_.step()
    return found


def test_constant() -> None:
    assert rates(kind="constant", warm_up=0) == [0.5] * 100


def test_all_others_rise_first() -> None:
    for kind in ("constant", "step", "cosine"):
        found = rates(kind=kind, warm_up=0.1, every=0.5)
        assert np.all(np.diff(found[:11]) > 0) and found[10] == pytest.approx(0.5, rel=1e-6)


def test_step() -> None:
    found = rates(kind="step", warm_up=0, every=0.25, factor=0.5)
    expected = np.repeat([0.5, 0.25, 0.125, 0.0625], 25)
    np.testing.assert_allclose(found, expected)


def test_cosine() -> None:
    found = rates(kind="cosine", warm_up=0, floor=0.2)
    assert found[0] == 0.5 and found[50] == pytest.approx(0.3)
    assert found[-1] == pytest.approx(0.1, abs=1e-3)
    assert np.all(np.diff(found) < 0)


def test_one_cycle_is_torchs_with_the_peak_at_the_end_of_the_rise() -> None:
    found = rates(kind="one_cycle", warm_up=0.15)
    assert max(found) == pytest.approx(0.5, rel=0.01) and np.argmax(found) in (14, 15)
    assert found[-1] < 1e-3


OFF = AugmentSettings(channel_dropout=0, noise=0)


def test_augmentation_off_is_the_input_itself() -> None:
    x = torch.randn(2, 100, 8)
    assert augment(x, OFF, FS, torch.Generator()) is x


def test_channel_dropout_and_gain() -> None:
    x = torch.ones(50, 10, 100)
    settings = AugmentSettings(channel_dropout=0.3, gain_jitter=0.2, noise=0)
    y = augment(x, settings, FS, torch.Generator().manual_seed(0))
    assert torch.equal(y[:, :1].expand_as(y), y)
    dropped = y[:, 0] == 0
    # 5000 draws: sd of the share .0065, of the log gain's sd .0024; four of them allowed.
    assert abs(float(dropped.float().mean()) - 0.3) < 0.026
    assert abs(float(torch.log(y[:, 0][~dropped]).std()) - 0.2) < 0.01


def test_noise_and_time_masks() -> None:
    x = torch.zeros(20, 1000, 4)
    noisy = augment(
        x, AugmentSettings(channel_dropout=0, noise=0.5), FS, torch.Generator().manual_seed(0)
    )
    assert abs(float(noisy.std()) - 0.5) < 0.01
    masked = augment(
        x + 1,
        OFF.model_copy(update={"time_masks": 2, "time_mask_ms": 50}),
        FS,
        torch.Generator().manual_seed(0),
    )
    lost = (masked == 0).all(2).sum(1)
    assert torch.equal((masked == 0).any(2), (masked == 0).all(2))
    assert int(lost.max()) <= 100 and int(lost.min()) >= 1


def test_augmentation_is_drawn_anew_and_again_the_same() -> None:
    changes = AugmentSettings(channel_dropout=0, noise=1.0)
    first, again = (Stretches([part(5)], 30, 2, 4, 0, changes=changes) for _ in range(2))
    for (a, mel), (b, _) in zip(first, again, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a[0] - a[1], torch.zeros_like(a[0]))
        assert mel.shape == (2, 30, 80)


def test_passes_go_on_where_the_last_ended() -> None:
    parts = [part(5)]
    whole = [mel for _, mel in Stretches(parts, 30, 2, 5, 0)]
    chunked = Stretches(parts, 30, 2, 5, 0, chunk=2, first=1)
    found = [[mel for _, mel in chunked] for _ in range(3)]
    assert [len(chunk) for chunk in found] == [2, 2, 0]
    for a, b in zip(whole[1:], [*found[0], *found[1]], strict=True):
        assert torch.equal(a, b)


def test_tiles_cover_the_part_once() -> None:
    whole = part(6)
    tiles = list(Tiles([whole], 60, 15, 4))
    mel = torch.cat([mel for _, mel in tiles])[:, 15:].reshape(-1, 80).numpy()
    np.testing.assert_array_equal(mel, whole.mel[15 : 15 + len(mel)])
    assert len(whole.mel) - 15 - len(mel) < 45
    assert all(features.shape[1:] == (922, 8) for features, _ in tiles)


def constant(steps: int, **top: Any) -> ExperimentSettings:
    """A rate that does not know how many steps there will be."""
    dump = short(steps, 0, check_every=5, top=top).model_dump()
    dump["optimiser"]["encoder"]["schedule"] = {"kind": "constant", "warm_up": 0}
    return ExperimentSettings.model_validate(dump)


def test_stops_early_and_restores_the_best_weights() -> None:
    """The validation part's targets are shuffled: what is learnt soon makes it worse."""
    held = part(6, seed=5)
    held.mel[:] = np.random.default_rng(0).permutation(held.mel)
    settings = constant(200, validation={"fraction": 0.2, "patience": 3})
    fitted = fit([part()], tiny_spec(), settings, False, validation=[held])
    told = fitted.provenance["phases"]["encoder"]
    assert told["stopped"] == "patience" and told["weights"] == "best"
    assert told["steps"] == told["best_step"] + 15 < 200
    assert not fitted.provenance["stopped_by_time"]
    # The best weights are those of a training that ended there.
    plain = fit([part()], tiny_spec(), constant(told["best_step"]), False)
    for (name, a), b in zip(
        fitted.network.state_dict().items(), plain.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_the_average_is_the_mean_of_the_late_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    original = EncoderPhase.on_train_batch_start

    def spy(self: EncoderPhase, *args: Any) -> None:
        seen.append(self.network.encoder.grus[0].weight_ih_l0.detach().clone())
        original(self, *args)

    monkeypatch.setattr(EncoderPhase, "on_train_batch_start", spy)
    last = fit([part()], tiny_spec(), short(10, 0), False).network
    fitted = fit([part()], tiny_spec(), short(10, 0, averaging={"start": 0.6}), False)
    # Weights after steps 7 to 10: those seen before steps 8, 9, 10, and the last ones.
    late = [*seen[7:10], last.encoder.grus[0].weight_ih_l0.detach()]
    found = fitted.network.encoder.grus[0].weight_ih_l0
    # Float32: a running mean against a mean.
    torch.testing.assert_close(found, torch.stack(late).mean(0), atol=1e-6, rtol=1e-5)
    assert fitted.provenance["phases"]["encoder"]["weights"] == "average"


def test_norm_statistics_are_of_the_averaged_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layer's are those of its outputs over the batches it was given."""
    settings = short(6, 0, averaging={"start": 0.5, "norm_batches": 4})
    given: list[Any] = []
    original = averaging.renew_norms

    def spy(module: EncoderPhase, batches: Any) -> None:
        given.extend(batches)
        original(module, given)

    monkeypatch.setattr(averaging, "renew_norms", spy)
    network = fit([part()], tiny_spec(), settings, False).network
    assert len(given) == 4
    norms = [m for m in network.encoder.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    seen: list[torch.Tensor] = []
    norms[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for features, _mel in given:
            network.encode(features)
    mean = torch.stack([x.mean((0, 2)) for x in seen]).mean(0)
    variance = torch.stack([x.var((0, 2)) for x in seen]).mean(0)
    assert norms[0].running_mean is not None and norms[0].running_var is not None
    torch.testing.assert_close(norms[0].running_mean, mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norms[0].running_var, variance, atol=1e-5, rtol=1e-4)
    assert all(norm.momentum == 0.1 and not norm.training for norm in norms)


def test_encoder_dropout_acts_in_training_only() -> None:
    found = [
        fit([part()], tiny_spec(), short(6, 2, encoder_dropout=share), False).network
        for share in (0.0, 0.5)
    ]
    assert not torch.equal(*(n.encoder.grus[0].weight_ih_l0 for n in found))
    features = torch.from_numpy(part(2).features)[None]
    # Nothing of it stays behind, even if somebody trains the network on.
    encoders = [n.encoder.train() for n in found]
    assert not encoders[1]._forward_hooks
    frames, again = (found[1].encode(features)[0] for _ in range(2))
    assert torch.equal(frames, again) and not torch.any(frames == 0)


def test_a_loss_that_is_not_finite_is_a_clear_error() -> None:
    broken = part()
    broken.features[:] = np.inf
    with pytest.raises(TrainingError, match="at step 0 of phase 'encoder'"):
        fit([broken], tiny_spec(), short(2, 0), False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine can do it")
def test_half_precision_needs_a_gpu() -> None:
    settings = short(1, 0, top={"machine": {"precision": "16-mixed"}})
    with pytest.raises(SettingsError, match="half precision has no loss scaling elsewhere"):
        fit([part()], tiny_spec(), settings, False)


def test_bfloat16_trains_close_to_float32() -> None:
    """8 bits of mantissa, 20 steps: the same learning, not the same numbers."""
    fitted = [
        fit([part()], tiny_spec(), short(20, 4, top={"machine": {"precision": p}}), False)
        for p in ("32", "bf16-mixed")
    ]
    a, b = (f.network.encoder.grus[0].weight_ih_l0 for f in fitted)
    assert a.dtype == b.dtype == torch.float32
    assert not torch.equal(a, b)
    assert ((a - b).norm() / a.norm()).item() < 0.2


@pytest.mark.parametrize(
    "table", [{"accelerator": "tpu"}, {"accelerator": "nonsense"}, {"devices": 0}]
)
def test_a_machine_that_is_not_there(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"\[machine\]"):
        machine.make_trainer(short(1, 0, top={"machine": table}), 1, [], [], False)


def test_unknown_settings_are_refused() -> None:
    for raw in ({"machine": {"gpus": 2}}, {"augment": {"mixup": 1}}, {"optimizer": {}}):
        with pytest.raises(SettingsError, match="unknown key"):
            validated(ExperimentSettings, raw, "x.toml")


def test_csv_and_tensorboard_hold_what_is_promised(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    settings = short(2, 4, check_every=2, top={"validation": {"fraction": 0.2}})
    job.train(tmp_path, settings)
    logs = tmp_path / "state" / "logs" / "network" / "run_0"
    head = (logs / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"step", "loss", "validation/loss", "validation/r", "validation/r_speech"} <= set(head)
    found = event_accumulator.EventAccumulator(str(logs)).Reload().Tags()
    assert {"loss", "validation/r", "validation/r_speech"} <= set(found["scalars"])
    assert any("attention" in tag for tag in found["images"])
    assert any("mel" in tag for tag in found["images"])
    assert {"network/0/true", "network/0/decoded"} <= set(found["audio"])


def test_shared_norm_of_one_process_is_batch_norm() -> None:
    """Values, gradients and running statistics; 1e-5 for another order of float32 sums."""
    torch.manual_seed(0)
    x = torch.randn(6, 5, 40) * 3 + 1
    plain, shared = torch.nn.BatchNorm1d(5), torch.nn.BatchNorm1d(5)
    file = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=file, rank=0, world_size=1)
    try:
        SharedNorm().apply(shared)
        outs = []
        for norm in (plain, shared):
            y = x.clone().requires_grad_()
            out = norm(y)
            (out**3).sum().backward()
            assert y.grad is not None
            outs.append((out.detach(), y.grad))
        for a, b in zip(*outs, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(plain.state_dict(), shared.state_dict(), atol=1e-5, rtol=1e-5)
    finally:
        torch.distributed.destroy_process_group()
    SharedNorm().revert(shared)
    assert "forward" not in shared.__dict__
    assert NetworkPhase.name == "network" and build_network(tiny_spec(), 8).bands == 80
