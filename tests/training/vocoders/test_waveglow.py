"""WaveGlow: the published equations, exact inversion, its loss, and rendering in pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import SettingsError
from models.mel import RATE, log_mel
from models.networks.waveglow import (
    WaveGlow,
    add_weight_norm,
    negative_log_likelihood,
    remove_weight_norm,
)
from models.waveglow import WaveGlowSpec
from tests.training.vocoders.checkpoints import SMALL, random_weights, tensors
from tests.training.vocoders.reference_waveglow import Reference
from training.against import waveglow_mels
from training.vocoders.mel_grid import samples_of, to_waveglow_grid
from training.vocoders.rendering import RenderSettings
from training.vocoders.waveglow_render import bias_spectrum, denoise, render


def network(spec: WaveGlowSpec = SMALL, seed: int = 0) -> WaveGlow:
    made = WaveGlow(spec)
    made.load_state_dict(tensors(random_weights(spec, seed)))
    return made.eval().requires_grad_(False)


def reference(spec: WaveGlowSpec = SMALL, seed: int = 0) -> Reference:
    weights = random_weights(spec, seed)
    return Reference(weights, spec.group, spec.early_every, spec.early_size, spec.hop)


def some_mel(frames: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-11, 1, (80, frames))


def test_the_published_model_has_686_tensors_and_87_9_million_parameters() -> None:
    shapes = WaveGlowSpec().shapes()
    normed = sum(
        2 if n.startswith("WN.") and n.endswith(".weight") and ".end." not in n else 1
        for n in shapes
    )
    assert normed == 686
    gains = sum(
        s[0]
        for n, s in shapes.items()
        if n.startswith("WN.") and n.endswith(".weight") and ".end." not in n
    )
    parameters = sum(int(np.prod(shape)) for shape in shapes.values())
    # NVIDIA's count, with both parts of the weight norm.
    assert parameters + gains == 87_879_272
    assert WaveGlowSpec().widths == (8, 8, 8, 8, 6, 6, 6, 6, 4, 4, 4, 4)


def test_the_network_has_exactly_those_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    # On no device: shapes without 350 MB of numbers.
    monkeypatch.setattr(torch, "det", lambda matrix: 1.0)
    with torch.device("meta"):
        state = WaveGlow(WaveGlowSpec()).state_dict()
    assert {name: tuple(t.shape) for name, t in state.items()} == WaveGlowSpec().shapes()


def test_synthesis_is_that_of_the_published_equations() -> None:
    mel = some_mel(6)
    z = 0.6 * np.random.default_rng(4).normal(size=(8, 6 * 32))
    wanted = reference().synthesis(mel, z)
    got = network().inverse(torch.from_numpy(mel).float()[None], torch.from_numpy(z).float()[None])
    assert np.std(wanted) > 0.01
    # float32 against float64.
    np.testing.assert_allclose(got[0].numpy(), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_analysis_and_its_density_are_those_of_the_published_equations() -> None:
    mel, audio = some_mel(6), 0.1 * np.random.default_rng(5).normal(size=6 * 256)
    wanted, log_det = reference().analysis(mel, audio)
    got = network()(torch.from_numpy(mel).float()[None], torch.from_numpy(audio).float()[None])
    np.testing.assert_allclose(got.z[0].numpy(), wanted, atol=1e-5 * np.abs(wanted).max())
    assert float(got.log_scale + got.log_det) == pytest.approx(log_det, rel=1e-5, abs=1e-3)
    loss = (wanted**2).sum() / (2 * 0.7**2) - log_det
    told = float(negative_log_likelihood(got, sigma=0.7))
    assert told == pytest.approx(loss / wanted.size, rel=1e-5)


@pytest.mark.parametrize("spec", [SMALL, WaveGlowSpec(layers=2, channels=8)])
def test_forward_and_inverse_undo_each_other(spec: WaveGlowSpec) -> None:
    # In double precision nothing but the algebra is left.
    flow = network(spec).double()
    mel = torch.from_numpy(some_mel(5))[None]
    audio = torch.from_numpy(0.1 * np.random.default_rng(6).normal(size=(1, 5 * 256)))
    back = flow.inverse(mel, flow(mel, audio).z)
    np.testing.assert_allclose(back.numpy(), audio.numpy(), atol=1e-9)
    z = torch.from_numpy(np.random.default_rng(7).normal(size=(1, 8, 5 * 32)))
    np.testing.assert_allclose(flow(mel, flow.inverse(mel, z)).z.numpy(), z.numpy(), atol=1e-9)


def test_the_density_is_the_jacobian() -> None:
    spec = WaveGlowSpec(flows=3, early_every=1, layers=1, channels=4, window=16, hop=16, mels=2)
    flow = network(spec).double()
    mel = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 2, 1)))
    audio = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 16)))
    jacobian = torch.autograd.functional.jacobian(lambda x: flow(mel, x).z.reshape(-1), audio)
    told = flow(mel, audio)
    truth = torch.linalg.slogdet(jacobian[:, 0])[1]
    assert float(told.log_scale + told.log_det) == pytest.approx(float(truth), abs=1e-9)


def test_a_fresh_network_rotates_and_keeps_energy() -> None:
    flow = WaveGlow(SMALL).double()
    audio = torch.randn(1, 512, dtype=torch.float64)
    made = flow(torch.zeros(1, 80, 2, dtype=torch.float64), audio)
    assert float((made.z.detach() ** 2).sum()) == pytest.approx(float((audio**2).sum()), rel=1e-5)
    assert float(made.log_det.detach()) == pytest.approx(0, abs=1e-3)


def test_weight_norm_changes_no_value() -> None:
    flow, mel = network(), torch.from_numpy(some_mel(3)).float()[None]
    z = torch.randn(1, 8, 96)
    before = flow.inverse(mel, z)
    add_weight_norm(flow)
    assert len(flow.state_dict()) > len(SMALL.shapes())
    torch.testing.assert_close(flow.inverse(mel, z), before, rtol=1e-4, atol=1e-5)
    remove_weight_norm(flow)
    assert {n: tuple(t.shape) for n, t in flow.state_dict().items()} == SMALL.shapes()
    torch.testing.assert_close(flow.inverse(mel, z), before, rtol=1e-4, atol=1e-5)


# ---- rendering


def test_pieces_are_the_whole() -> None:
    flow = network()
    mel = some_mel(120).T.astype(np.float32)
    told: list[float] = []
    whole = render(flow, mel, RenderSettings(denoise=0, piece_s=100))
    pieces = render(flow, mel, RenderSettings(denoise=0, piece_s=0.25), told.append)
    assert len(whole) == samples_of(120) == 39690
    assert len(told) > 5
    assert sum(told) == pytest.approx(1.8, abs=0.02)
    # Kernels of another width round otherwise.
    np.testing.assert_allclose(pieces, whole, atol=1e-4 * np.abs(whole).max())
    short = render(flow, mel, RenderSettings(denoise=0, piece_s=0.25, seed=1))
    assert np.abs(short - whole).max() > 0.1 * np.abs(whole).max()


def test_the_reach_is_no_larger_than_it_must_be() -> None:
    """One frame less to either side changes the sound: pieces are not equal by a wide margin."""
    flow, frames = network(), 40
    z, at = torch.zeros(1, 8, frames * 32), 20
    mel = torch.from_numpy(some_mel(frames)).float()[None]
    far = mel.clone()
    far[:, :, : at - SMALL.reach] += 1
    far[:, :, at + SMALL.reach + 1 :] += 1
    span = slice(at * 256, (at + 1) * 256)
    base = flow.inverse(mel, z)[0, span]
    torch.testing.assert_close(flow.inverse(far, z)[0, span], base)
    near = mel.clone()
    near[:, :, at - SMALL.reach + 1] += 1
    assert not torch.equal(flow.inverse(near, z)[0, span], base)


def test_sigma_scales_the_noise_and_zero_is_silent_noise() -> None:
    flow, mel = network(), some_mel(40).T.astype(np.float32)
    quiet = [render(flow, mel, RenderSettings(sigma=0, denoise=0, seed=s)) for s in (0, 1)]
    np.testing.assert_array_equal(*quiet)
    loud = render(flow, mel, RenderSettings(sigma=1, denoise=0))
    assert np.std(loud - quiet[0]) > 0.1


def test_the_denoiser_takes_off_what_the_network_hums() -> None:
    flow = network()
    bias = bias_spectrum(flow)
    assert bias.shape == (513, 1)
    audio = torch.randn(8000)
    torch.testing.assert_close(denoise(audio, bias, 0.0), audio, rtol=1e-4, atol=1e-4)
    hum = torch.fft.irfft(bias[:, 0].to(torch.complex64), 1024).repeat(12)
    assert float(denoise(hum, bias, 3.0).abs().mean()) < 0.5 * float(hum.abs().mean())


def test_another_mel_definition_is_refused() -> None:
    other = network(SMALL.model_copy(update={"mels": 40}))
    with pytest.raises(SettingsError, match="40 mel bands every 256 samples"):
        render(other, np.zeros((10, 80), np.float32))


# ---- the finer grid


def chirps(seconds: float = 3.0) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    f0 = 140 + 40 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    wave = sum(np.sin(h * phase) / h for h in range(1, 25))
    return np.asarray(0.1 * wave * (0.55 - 0.45 * np.cos(2 * np.pi * 3 * t)))


def test_frames_on_the_finer_grid_are_near_those_computed_there() -> None:
    audio = chirps()
    mel = log_mel(audio)
    made = to_waveglow_grid(mel)
    truth = waveglow_mels(audio)[: len(made)]
    assert len(made) == -(-samples_of(len(mel)) // 256)
    inner = slice(3, -3)
    cubic = np.abs(made[inner] - truth[inner]).mean()
    centres, times = (np.arange(len(mel)) + 0.5) * 0.015, np.arange(len(made)) * 256 / RATE
    linear = np.stack([np.interp(times, centres, band) for band in mel.T], 1)
    assert cubic < 0.1
    assert cubic < 0.85 * np.abs(linear[inner] - truth[inner]).mean()


def test_a_grid_never_goes_under_the_floor_and_takes_any_length() -> None:
    mel = np.full((9, 80), np.log(1e-5), np.float32)
    mel[4] = 2.0
    assert to_waveglow_grid(mel).min() >= np.log(1e-5) - 1e-6
    for hops in (1, 2, 3):
        made = to_waveglow_grid(mel[:hops])
        assert made.shape == (-(-samples_of(hops) // 256), 80)
