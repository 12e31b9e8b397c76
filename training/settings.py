"""The settings of an experiment: one TOML, nothing unknown allowed."""

from __future__ import annotations

from pydantic import Field, model_validator

from models.spec import FrontEndSpec, Model, NetworkSpec


class PhaseSettings(Model):
    """One phase of training: AdamW with a one-cycle learning rate over random stretches."""

    steps: int = Field(ge=0, description="optimiser steps; 0 leaves the phase out")
    batch: int = Field(ge=1, description="stretches per step")
    stretch_hops: int = Field(ge=20, description="hops per stretch")
    warm_hops: int = Field(ge=0, description="hops at a stretch's start that carry no loss")
    learning_rate: float = Field(gt=0)

    @model_validator(mode="after")
    def _some_hops_count(self) -> PhaseSettings:
        if self.warm_hops >= self.stretch_hops:
            raise ValueError(f"warm_hops {self.warm_hops} leave none of {self.stretch_hops} hops")
        return self


class OptimiserSettings(Model):
    """Two phases: the encoder alone through a linear read-out, then the whole network."""

    encoder: PhaseSettings = PhaseSettings(
        steps=240, batch=12, stretch_hops=120, warm_hops=25, learning_rate=1e-3
    )
    network: PhaseSettings = PhaseSettings(
        steps=48, batch=24, stretch_hops=200, warm_hops=40, learning_rate=2e-3
    )
    weight_decay: float = Field(1e-3, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    teacher_start: float = Field(0.5, ge=0, le=1, description="teacher forcing at the first step")
    teacher_end: float = Field(0.0, ge=0, le=1, description="and from `teacher_until` on")
    teacher_until: float = Field(0.6, gt=0, le=1, description="share of the steps")
    max_minutes: float = Field(30.0, gt=0, description="stop after this long, saying so")


class ExperimentSettings(Model):
    """Everything `seegvox train` can be told."""

    name: str = "patient"
    seed: int = 0
    test_fraction: float = Field(0.15, gt=0, lt=0.9)
    target_lookahead: int = Field(0, ge=0)
    front_end: FrontEndSpec = FrontEndSpec()
    network: NetworkSpec = NetworkSpec()
    optimiser: OptimiserSettings = OptimiserSettings()
