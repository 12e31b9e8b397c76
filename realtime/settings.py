"""The settings of a live session."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from models.spec import Model, Weights
from realtime.limiter import LimiterSettings
from realtime.outlets.settings import OutletSettings
from realtime.playout.settings import PlayoutSettings
from realtime.policy import Policy
from realtime.scheduling import SchedulingSettings
from realtime.streams import StreamQuery


class LiveSettings(Model):
    """Everything `seegvox live` can be told; one TOML per session."""

    bundle: Path = Field(description="bundle folder")
    out: Path = Field(description="folder of the run, new")
    seconds: float | None = Field(None, gt=0, description="stop after this long; none runs on")
    stream: StreamQuery = StreamQuery()
    unit: str | None = Field(
        None, description="unit of the contacts; none reads it from the stream"
    )
    allow_missing: tuple[str, ...] = Field((), description="contacts given up, by name")
    calibration: Literal["newest"] | Path | None = Field(
        None,
        description="folder of today's statistics, or 'newest' beside the bundle; none takes the "
        "bundle's own",
    )
    vocoder: str = Field(
        "phase",
        description="from mel frames to sound: phase, rtisi, neural (the one that the bundle "
        "carries), or the folder of a neural one",
    )
    weights: Weights | None = Field(
        None, description="precision of the network's weights; none takes what the bundle prefers"
    )
    warm_s: float = Field(1.0, ge=0.2, description="muted from the first sample on, seconds")
    limiter: LimiterSettings = LimiterSettings()
    playout: PlayoutSettings = PlayoutSettings()
    outlets: OutletSettings = OutletSettings()
    policy: Policy = Policy()
    scheduling: SchedulingSettings = SchedulingSettings()
