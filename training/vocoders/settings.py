"""The settings of a vocoder's training: one TOML, nothing unknown allowed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from models.spec import Model
from models.vocoder import VocoderNetSpec
from models.waveglow import WaveGlowSpec
from training.settings import LogSettings, MachineSettings


class StageSettings(Model):
    """One stage of training: AdamW over random stretches, the rate falling along half a cosine."""

    steps: int = Field(ge=0, description="optimiser steps; 0 leaves the stage out")
    batch: int = Field(16, ge=1, description="stretches per step")
    hops: int = Field(64, ge=16, description="hops of a stretch that carry loss")
    learning_rate: float = Field(5e-4, gt=0)
    floor: float = Field(0.05, ge=0, le=1, description="last learning rate over the first")
    check_every: int = Field(200, ge=1, description="steps between checks and checkpoints")


class DegradeSettings(Model):
    """What is done to the mel frames of training stretches: decoders give no clean ones.

    Sound to be reached stays that of the clean frames.
    """

    share: float = Field(0.6, ge=0, le=1, description="stretches that are degraded at all")
    smooth: int = Field(9, ge=1, description="longest moving average, hops; odd numbers are drawn")
    noise: float = Field(0.4, ge=0, description="largest sd of noise, nepers")
    noise_hops: int = Field(5, ge=1, description="longest moving average of that noise, hops")
    gain: float = Field(0.7, ge=0, description="largest change of level, sound's too, nepers")


class LossSettings(Model):
    """Weights of the losses."""

    stft: float = Field(1.0, ge=0, description="multi-resolution STFT (Yamamoto et al. 2020)")
    mel: float = Field(1.0, ge=0, description="log-mels of the vocoder's own grid, L1")
    adversarial: float = Field(1.0, ge=0, description="least squares (Mao et al. 2017)")
    features: float = Field(2.0, ge=0, description="feature matching (Kumar et al. 2019)")


class VocoderTraining(Model):
    """Everything `seegvox train-vocoder` can be told."""

    name: str = "vocoder"
    seed: int = Field(0, ge=0)
    kind: Literal["neural", "waveglow"] = "neural"
    network: VocoderNetSpec = VocoderNetSpec()
    waveglow: WaveGlowSpec = WaveGlowSpec()
    sigma: float = Field(1.0, gt=0, description="waveglow: of the noise that its loss assumes")
    segment: int = Field(16000, ge=1024, description="waveglow: samples of a stretch")
    reconstruction: StageSettings = StageSettings(steps=20_000)
    adversarial: StageSettings = StageSettings(steps=0, learning_rate=2e-4)
    losses: LossSettings = LossSettings()
    degrade: DegradeSettings = DegradeSettings()
    validation_share: float = Field(0.05, gt=0, lt=0.5, description="of the files, held out")
    decoded_share: float = Field(
        0.5, ge=0, le=1, description="stretches with decoded mels, if any were given"
    )
    patience: int = Field(10, ge=1, description="checks without a lower held-out loss")
    max_minutes: float = Field(60.0, gt=0, description="stop after this long, saying so")
    int8: bool = Field(True, description="weights of matrix products of 8 bits in the graph")
    machine: MachineSettings = MachineSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _something_to_do(self) -> VocoderTraining:
        if not self.reconstruction.steps and not self.adversarial.steps:
            raise ValueError("neither stage has any steps")
        if self.segment % self.waveglow.group:
            raise ValueError(f"segment {self.segment} is no multiple of {self.waveglow.group}")
        return self
