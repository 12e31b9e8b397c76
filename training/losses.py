"""What training minimises: squared error or cross entropy, and the mixed form with correlation."""

from __future__ import annotations

from typing import Literal

import torch
import torch.distributed as dist
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import SettingsError
from models.networks.network import Output, SpeechNetwork
from models.spec import Model

STEADY = 1e-5
"""Variance, of normalised frames, below which a band counts as silent and uncorrelated."""


class LossSettings(Model):
    """Which losses are summed; each before and after the post-net but for the correlation."""

    kind: Literal["mse", "cross_entropy"] = Field(
        "mse", description="cross_entropy over codes: needs network.output.kind = 'discrete'"
    )
    pearson: float = Field(
        0.0, ge=0, description="weight of 1 - r over time, mean over bands: the mixed form"
    )
    speech_weight: float = Field(
        4.0, ge=1, description="of a frame of speech, in both phases; 1 of one of silence"
    )


class Loss(nn.Module):
    """The loss of decoded stretches, over the hops that count.

    Squared error of normalised frames; or cross entropy of the nearest codes (Kohler et al. 2022);
    in the mixed form plus `pearson` times one minus Pearson's r over time, per stretch and band.
    r is soft: of the frames themselves, which for codes are means under their probabilities, so
    that it has a gradient. (The published form correlates the probabilities of the codes.)

    Raises
    ------
    SettingsError
        If cross entropy is asked of a network without codes.
    """

    def __init__(self, settings: LossSettings, network: SpeechNetwork) -> None:
        super().__init__()
        self.settings = settings
        # The network is optimised as itself; it must not become a part of this module.
        self._codes = [network.decoder.codes]
        if settings.kind == "cross_entropy" and network.decoder.codes is None:
            raise SettingsError(
                "loss.kind is 'cross_entropy', but the network gives continuous values",
                "network.output.kind = 'discrete'",
                "set it, or set loss.kind = 'mse'",
            )

    def forward(self, out: Output, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """`loss`, and the parts that it sums: `mse` or `cross_entropy`, and `pearson`, 1 - r.

        Parameters
        ----------
        out : of the network.
        target : normalised true frames, `(batch, hops, bands)`.
        weight : of each hop, `(batch, hops)`; 0 leaves it out.
        """
        kind: str = self.settings.kind
        loss = (
            _squared(out, target, weight) if kind == "mse" else self._entropy(out, target, weight)
        )
        parts = {kind: loss}
        if self.settings.pearson:
            parts["pearson"] = 1 - correlation(out.after, target, weight).mean()
            loss = loss + self.settings.pearson * parts["pearson"]
        return {"loss": loss, **parts}

    def _entropy(self, out: Output, target: Tensor, weight: Tensor) -> Tensor:
        (codes,) = self._codes
        assert codes is not None and out.logits is not None and out.logits_before is not None
        wanted = codes.nearest(target)
        return sum(
            (
                weighted(
                    F.cross_entropy(logits.float().movedim(3, 1), wanted, reduction="none"), weight
                )
                for logits in (out.logits, out.logits_before)
            ),
            start=weight.new_zeros(()),
        )


def _squared(out: Output, target: Tensor, weight: Tensor) -> Tensor:
    after, before = ((frames.to(target.dtype) - target) ** 2 for frames in (out.after, out.before))
    return weighted(after, weight) + weighted(before, weight)


def weighted(errors: Tensor, weight: Tensor) -> Tensor:
    """Mean over bands and, weighted, over hops of `(batch, hops, bands)`."""
    return torch.sum(errors.mean(2) * weight) / _total(weight).clamp_min(1e-12)


def _total(weight: Tensor) -> Tensor:
    """Sum of the weights; with several processes, their mean sum.

    DDP averages gradients over processes: only with one divisor for all is that the gradient of the
    whole batch.
    """
    total = weight.sum()
    if dist.is_available() and dist.is_initialized():
        total = total.clone()
        dist.all_reduce(total)
        total /= dist.get_world_size()
    return total


def correlation(frames: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Pearson's r over time, `(batch, bands)`, of the hops that count; 0 where one is steady."""
    share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-12))[:, :, None]

    def centred(x: Tensor) -> Tensor:
        return x - (x * share).sum(1, keepdim=True)

    x, y = centred(frames.to(target.dtype)), centred(target)
    covariance = (x * y * share).sum(1)
    spread = ((x * x * share).sum(1) + STEADY) * ((y * y * share).sum(1) + STEADY)
    return covariance / torch.sqrt(spread)
