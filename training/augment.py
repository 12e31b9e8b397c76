"""Augmentation of z-scored features: small recordings are learnt by heart without it.

Channel dropout and gain jitter stand for contacts that fail or drift between days; time masks
follow SpecAugment (Park et al. 2019), over time only; noise is Bishop 1995.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from training.settings import AugmentSettings


def augment(
    features: Tensor, settings: AugmentSettings, fs: Fraction, rng: torch.Generator
) -> Tensor:
    """Changed copies of stretches; the same generator state gives the same.

    Parameters
    ----------
    features : `(batch, samples, channels)` z-scores on the CPU.
    settings : strengths; all zero gives the input itself.
    fs : samples per second.
    rng : where draws come from.
    """
    batch, samples, channels = features.shape
    gain = torch.ones(batch, 1, channels)
    if settings.gain_jitter:
        gain = torch.exp(settings.gain_jitter * torch.randn(gain.shape, generator=rng))
    if settings.channel_dropout:
        gain = gain * (torch.rand(gain.shape, generator=rng) >= settings.channel_dropout)
    if settings.gain_jitter or settings.channel_dropout:
        features = features * gain
    if settings.noise:
        features = features + settings.noise * torch.randn(features.shape, generator=rng)
    if settings.time_masks:
        longest = max(1, int(settings.time_mask_ms / 1000 * fs))
        features = features * _kept(batch, samples, settings.time_masks, longest, rng)
    return features


def _kept(batch: int, samples: int, masks: int, longest: int, rng: torch.Generator) -> Tensor:
    """`(batch, samples, 1)`: 0 in masked spans, 1 elsewhere."""
    length = torch.randint(1, min(longest, samples) + 1, (batch, masks, 1), generator=rng)
    start = (torch.rand(batch, masks, 1, generator=rng) * (samples - length)).long()
    at = torch.arange(samples)
    masked = ((at >= start) & (at < start + length)).any(1)
    return (~masked).float()[:, :, None]
