"""The settings of an experiment: one TOML, nothing unknown allowed."""

from __future__ import annotations

from pydantic import Field

from models.spec import FrontEndSpec, Model, NetworkSpec


class OptimiserSettings(Model):
    """AdamW with a one-cycle learning rate, fed by teacher-forced stretches."""

    steps: int = Field(100, ge=1, description="optimiser steps")
    batch: int = Field(24, ge=1, description="stretches per step")
    stretch_hops: int = Field(220, ge=20, description="hops per stretch")
    warm_hops: int = Field(40, ge=0, description="hops at a stretch's start that carry no loss")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    teacher_start: float = Field(1.0, ge=0, le=1, description="teacher forcing at the first step")
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
