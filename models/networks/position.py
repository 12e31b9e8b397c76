"""Sinusoidal position channels (Vaswani et al. 2017, section 3.5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def age_channels(places: int, channels: int) -> Tensor:
    """Sines and cosines of each place's age in frames, `(places, channels)`, oldest place first."""
    age = torch.arange(places - 1, -1, -1, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, channels, 2) * (-math.log(10_000.0) / channels))[None]
    return torch.cat([torch.sin(age * rate), torch.cos(age * rate)], 1).float()
