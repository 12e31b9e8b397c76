"""What can be set about playout, and what it tells about itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from models.spec import Model

RATE_HZ = 16_000


class PlayoutSettings(Model):
    """Where the audio goes and how much of it waits there."""

    sink: Literal["device", "wav", "null"] = Field(
        "device", description="sound card, a WAV file, or nowhere at the same pace"
    )
    device: int | str | None = Field(
        None, description="sound device, index or part of its name; none takes the default"
    )
    wav: Path | None = Field(None, description="file of the sink 'wav'")
    overwrite: bool = Field(False, description="the WAV file may replace an existing one")
    rate: int | None = Field(
        None, ge=8_000, le=192_000, description="device rate, Hz; none takes the device's own"
    )
    device_latency_ms: float = Field(
        20.0, ge=2.0, le=500.0, description="buffer asked of the sound device, ms"
    )
    target_ms: float = Field(
        45.0,
        ge=15.0,
        le=1000.0,
        description="mean time from push to the device's buffer, ms; must cover one burst",
    )
    headroom_ms: float = Field(
        30.0, ge=10.0, le=500.0, description="a trough this far above target is trimmed, ms"
    )
    ceiling: float = Field(
        0.5, gt=0.0, le=1.0, description="sample peak at the device's rate, of full scale"
    )
    host: Literal["process", "thread"] = Field(
        "process", description="what feeds the device: a process of its own, or a thread here"
    )
    cores: tuple[int, ...] = Field(
        (), description="run the player's process on these cores only; none: on any"
    )
    start_timeout_s: float = Field(15.0, gt=0.0, description="longest wait for the device, s")

    @model_validator(mode="after")
    def _wav_has_a_path(self) -> PlayoutSettings:
        if self.sink == "wav" and self.wav is None:
            raise ValueError("the sink 'wav' needs a file: set `wav`")
        return self


@dataclass(frozen=True)
class PlayoutStats:
    """Playout at this moment; times in ms, counts since `start`.

    `delay_ms` is the smoothed time from `push` to the DAC of a hop's first sample; it is
    `target_ms` plus the device's own buffer when playout is in order. NaN before the first hop.
    """

    fill_ms: float
    target_ms: float
    delay_ms: float
    ratio_ppm: float
    underruns: int
    trims: int
    trimmed_ms: float
    device_underflows: int
    played_samples: int
    device: str
    host: str
    alive: bool
    message: str
