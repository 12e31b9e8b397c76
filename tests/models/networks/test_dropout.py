from __future__ import annotations

import pytest
import torch

from models.networks.dropout import dropout


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_values_are_dropped_by_chance_and_the_mean_stays(share: float) -> None:
    torch.manual_seed(0)
    x = torch.full((401, 999), 2.0, requires_grad=True)
    y = dropout(x, share, training=True)
    # Four standard errors of 400 000 draws.
    spread = 4 * (share * (1 - share) / y.numel()) ** 0.5
    dropped = y == 0
    assert float(dropped.double().mean()) == pytest.approx(share, abs=spread)
    torch.testing.assert_close(y[~dropped].detach().unique(), torch.tensor([2 / (1 - share)]))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, y.detach() / 2)


def test_draws_follow_the_seed_and_neighbours_are_independent() -> None:
    masks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        masks.append(dropout(torch.ones(100_001), 0.5, training=True) > 0)
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])
    signs = masks[0].double() * 2 - 1
    for lag in (1, 2, 3, 4):
        # Four draws come from one number; five standard errors.
        assert abs(float((signs[lag:] * signs[:-lag]).mean())) < 5 / 100_000**0.5


def test_outside_training_nothing_is_dropped() -> None:
    x = torch.randn(5, 5)
    assert torch.equal(dropout(x, 0.5, training=False), x)
