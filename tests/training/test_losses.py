from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.errors import SettingsError
from models.networks.network import Output, SpeechNetwork
from models.spec import OutputSpec
from tests.bundles import TINY_NETWORK
from training.losses import Loss, LossSettings, correlation

DISCRETE = TINY_NETWORK.model_copy(
    update={"output": OutputSpec(kind="discrete", codes=4, codebook="per_bin")}
)
BATCH, HOPS, BANDS = 2, 12, 80


def made(discrete: bool = False) -> SpeechNetwork:
    torch.manual_seed(0)
    return SpeechNetwork(DISCRETE if discrete else TINY_NETWORK, 8, 10, 20)


def weight(warm: int = 3) -> torch.Tensor:
    counted = torch.ones(BATCH, HOPS)
    counted[:, :warm] = 0
    return counted


def output(discrete: bool = False) -> Output:
    frames = torch.randn(2, BATCH, HOPS, BANDS, requires_grad=True)
    logits = torch.randn(2, BATCH, HOPS, BANDS, 4, requires_grad=True)
    return Output(*frames, torch.zeros(0), *(logits if discrete else ()))


def test_squared_error_before_and_after() -> None:
    out, target = output(), torch.randn(BATCH, HOPS, BANDS)
    parts = Loss(LossSettings(), made())(out, target, weight())
    wanted = sum(F.mse_loss(x[:, 3:], target[:, 3:]) for x in (out.before, out.after))
    torch.testing.assert_close(parts["loss"], wanted)
    assert set(parts) == {"loss", "mse"}


@pytest.mark.parametrize("settings", [LossSettings(), LossSettings(pearson=0.5)])
def test_warm_hops_do_not_count(settings: LossSettings) -> None:
    out, target = output(), torch.randn(BATCH, HOPS, BANDS)
    loss = Loss(settings, made())(out, target, weight())["loss"]
    elsewhere = target.clone()
    elsewhere[:, :3] += 10
    torch.testing.assert_close(loss, Loss(settings, made())(out, elsewhere, weight())["loss"])
    for gradient in torch.autograd.grad(loss, [out.before, out.after]):
        assert torch.count_nonzero(gradient[:, :3]) == 0
        assert torch.count_nonzero(gradient[:, 3:]) > 0


def test_cross_entropy_of_the_nearest_codes() -> None:
    network, out = made(discrete=True), output(discrete=True)
    target = torch.randn(BATCH, HOPS, BANDS)
    assert network.decoder.codes is not None
    book = network.decoder.codes.book
    nearest = (target[..., None] - book).abs().argmin(-1)[:, 3:]
    wanted = sum(
        -torch.log_softmax(x[:, 3:], -1).gather(-1, nearest[..., None]).mean()
        for x in (out.logits_before, out.logits)
        if x is not None
    )
    parts = Loss(LossSettings(kind="cross_entropy"), network)(out, target, weight())
    torch.testing.assert_close(parts["cross_entropy"], wanted)
    assert set(parts) == {"loss", "cross_entropy"}


def test_the_mixed_form_adds_what_is_missing_to_r_of_one() -> None:
    out, target = output(), torch.randn(BATCH, HOPS, BANDS)
    parts = Loss(LossSettings(pearson=0.3), made())(out, target, weight())
    torch.testing.assert_close(parts["loss"], parts["mse"] + 0.3 * parts["pearson"])
    rows = [
        torch.corrcoef(torch.stack([out.after[b, 3:, k], target[b, 3:, k]]))[0, 1]
        for b in range(BATCH)
        for k in range(BANDS)
    ]
    # The variance below which a band counts as steady weakens r by about as much.
    assert float(parts["pearson"].detach()) == pytest.approx(
        1 - float(torch.stack(rows).mean().detach()), abs=1e-4
    )


def test_correlation_is_that_of_each_stretch() -> None:
    target = torch.randn(BATCH, HOPS, BANDS)
    shifted = 3 * target + torch.tensor([5.0, -7.0])[:, None, None]
    everything = torch.ones(BATCH, HOPS)
    torch.testing.assert_close(
        correlation(shifted, target, everything), torch.ones(BATCH, BANDS), atol=1e-4, rtol=0
    )


def test_a_steady_band_has_no_correlation_and_a_finite_gradient() -> None:
    frames = torch.zeros(BATCH, HOPS, BANDS, requires_grad=True)
    r = correlation(frames, torch.ones(BATCH, HOPS, BANDS), weight())
    assert torch.count_nonzero(r) == 0
    r.sum().backward()
    assert frames.grad is not None and bool(torch.isfinite(frames.grad).all())


def test_gradients_are_those_of_finite_differences() -> None:
    target = torch.randn(1, 5, 3, dtype=torch.double)
    counted = torch.tensor([[0.0, 1, 1, 1, 1]], dtype=torch.double)
    loss = Loss(LossSettings(pearson=0.7), made())

    def value(x: torch.Tensor) -> torch.Tensor:
        r = correlation(x, target, counted)
        return r.sum()

    frames = torch.randn(1, 5, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(value, frames)
    out = Output(frames, frames, torch.zeros(0))
    assert torch.autograd.gradcheck(
        lambda x: loss(out._replace(before=x, after=x), target, counted)["loss"], frames
    )


def test_cross_entropy_trains_every_block() -> None:
    network = made(discrete=True)
    ticks = [(k + 1) * 2 for k in range(HOPS)]
    out = network(torch.randn(BATCH, HOPS * 20, 8), ticks)
    loss = Loss(LossSettings(kind="cross_entropy", pearson=0.1), network)
    # The residual's scale starts at nothing and holds back what lies before it.
    torch.nn.init.ones_(network.postnet.layers[-1].norm.weight)
    out = network(torch.randn(BATCH, HOPS * 20, 8), ticks)
    loss(out, torch.randn(BATCH, HOPS, BANDS), weight())["loss"].backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.count_nonzero(parameter.grad) > 0, name


def test_cross_entropy_needs_codes() -> None:
    with pytest.raises(SettingsError, match=r"output\.kind = 'discrete'"):
        Loss(LossSettings(kind="cross_entropy"), made())
    assert not list(Loss(LossSettings(), made()).parameters())
