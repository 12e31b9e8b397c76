"""Sinusoidal position channels (Vaswani et al. 2017, section 3.5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoids(positions: Tensor, channels: int) -> Tensor:
    """Sines, then cosines, of `(places,)` positions: `(places, channels)` float32."""
    at = positions.double()[:, None]
    rate = torch.exp(torch.arange(0, channels, 2) * (-math.log(10_000.0) / channels))[None]
    return torch.cat([torch.sin(at * rate), torch.cos(at * rate)], 1).float()
