"""The settings of a live session."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from models.spec import Model
from realtime.limiter import LimiterSettings
from realtime.playout.settings import PlayoutSettings
from realtime.streams import StreamQuery


class LiveSettings(Model):
    """Everything `seegvox live` can be told; one TOML per session."""

    bundle: Path
    out: Path = Field(description="folder of the run, new")
    seconds: float | None = Field(None, gt=0, description="stop after this long; none runs on")
    stream: StreamQuery = StreamQuery()
    unit: str | None = Field(
        None, description="unit of the contacts; none reads it from the stream"
    )
    allow_missing: tuple[str, ...] = Field((), description="contacts given up, by name")
    vocoder: Literal["phase", "rtisi"] = "phase"
    warm_s: float = Field(1.0, ge=0.2, description="muted from the first sample on, seconds")
    limiter: LimiterSettings = LimiterSettings()
    playout: PlayoutSettings = PlayoutSettings()
