"""How WaveGlow is sampled, and who is told how far it is; without torch."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from models.spec import Model

Progress = Callable[[float], None]
"""Told the seconds of sound of each piece when it is done."""


class RenderSettings(Model):
    """How WaveGlow is sampled."""

    sigma: float = Field(0.6, ge=0, le=2, description="standard deviation of the noise it starts")
    denoise: float = Field(0.1, ge=0, le=10, description="times the bias spectrum taken off")
    seed: int = Field(0, ge=0, description="of the noise; the same gives the same sound")
    piece_s: float = Field(8.0, gt=0, description="length of a piece, seconds; memory grows by it")
