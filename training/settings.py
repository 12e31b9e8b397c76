"""The settings of an experiment: one TOML, nothing unknown allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from models.spec import FrontEndSpec, Model, NetworkSpec
from training.joint.settings import JointSettings
from training.losses import LossSettings


class ScheduleSettings(Model):
    """How the learning rate goes over a phase; places and lengths are shares of its steps.

    `one_cycle` is Smith & Topin 2019 (with its cycled momentum); the others rise linearly over
    `warm_up` and then fall in steps, along half a cosine (Loshchilov & Hutter 2017), or not.
    """

    kind: Literal["one_cycle", "step", "cosine", "constant"] = "one_cycle"
    warm_up: float = Field(0.15, ge=0, lt=1, description="share of the steps that rise")
    every: float = Field(0.25, gt=0, le=1, description="`step`: share of the steps per stair")
    factor: float = Field(
        0.5, gt=0, le=1, description="`step`: rate of a stair over the last one's"
    )
    floor: float = Field(0.0, ge=0, le=1, description="`cosine`: last rate over the peak")


class PhaseSettings(Model):
    """One phase of training: AdamW over random stretches of the training part."""

    steps: int = Field(ge=0, description="optimiser steps; 0 leaves the phase out")
    batch: int = Field(ge=1, description="stretches per step, over all devices together")
    stretch_hops: int = Field(ge=20, description="hops per stretch")
    warm_hops: int = Field(ge=0, description="hops at a stretch's start that carry no loss")
    learning_rate: float = Field(gt=0)
    schedule: ScheduleSettings = ScheduleSettings()
    check_every: int = Field(20, ge=1, description="steps between validations and checkpoints")

    @model_validator(mode="after")
    def _some_hops_count(self) -> PhaseSettings:
        if self.warm_hops >= self.stretch_hops:
            raise ValueError(f"warm_hops {self.warm_hops} leave none of {self.stretch_hops} hops")
        return self


class AveragingSettings(Model):
    """Stochastic weight averaging (Izmailov et al. 2018): the mean of the weights of late steps.

    Batch-norm statistics are taken anew for the mean of the weights, over training stretches.
    With a validation part the average is kept only if it does better there than the best check.
    """

    start: float = Field(0.6, ge=0, lt=1, description="share of the steps after which to average")
    every: int = Field(1, ge=1, description="steps between the weights averaged")
    norm_batches: int = Field(8, ge=1, description="batches for the batch-norm statistics")


class OptimiserSettings(Model):
    """Two phases: the encoder alone through a linear read-out, then the whole network."""

    encoder: PhaseSettings = PhaseSettings(
        steps=320, batch=12, stretch_hops=120, warm_hops=25, learning_rate=2e-3
    )
    network: PhaseSettings = PhaseSettings(
        steps=48, batch=12, stretch_hops=120, warm_hops=25, learning_rate=5e-4, check_every=8
    )
    weight_decay: float = Field(1e-2, ge=0)
    encoder_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the encoder's outputs dropped in training"
    )
    gradient_clip: float = Field(1.0, gt=0)
    averaging: AveragingSettings | None = None
    teacher_start: float = Field(0.0, ge=0, le=1, description="teacher forcing at the first step")
    teacher_end: float = Field(0.0, ge=0, le=1, description="and from `teacher_until` on")
    teacher_until: float = Field(0.6, gt=0, le=1, description="share of the steps")
    max_minutes: float = Field(30.0, gt=0, description="stop after this long, saying so")


class AugmentSettings(Model):
    """What is done to z-scored features in training only, drawn anew for every stretch."""

    channel_dropout: float = Field(0.2, ge=0, lt=1, description="chance of a channel to be zero")
    gain_jitter: float = Field(0.0, ge=0, description="sd of a channel's log gain")
    noise: float = Field(0.3, ge=0, description="sd of white Gaussian noise, in z-scores")
    time_masks: int = Field(0, ge=0, description="spans set to zero, all channels")
    time_mask_ms: float = Field(100.0, gt=0, description="longest span, milliseconds")


class ValidationSettings(Model):
    """A contiguous part of whole trials before the test part, a guard away from both neighbours.

    Every `check_every` steps it is scored. The weights of the best check are kept, and training
    stops after `patience` checks without a better one.
    """

    fraction: float = Field(0.0, ge=0, lt=0.9, description="share of the trials; 0 validates not")
    monitor: Literal["loss", "r", "r_speech"] = "loss"
    patience: int = Field(6, ge=1, description="checks without improvement")
    least: float = Field(0.0, ge=0, description="improvements up to this do not count")


class MachineSettings(Model):
    """Where training runs: Lightning's own names and meanings."""

    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    num_nodes: int = Field(1, ge=1)
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"


class LogSettings(Model):
    """What `seegvox train` writes beside its CSV."""

    tensorboard: bool = True
    examples: int = Field(1, ge=0, description="validation stretches shown as images and audio")


class RecordingSettings(Model):
    """What the recording's file does not say, or says wrongly: options of `read_recording`."""

    audio: Path | None = Field(None, description="WAV or FLAC instead of the file's own audio")
    audio_offset_s: float = Field(0.0, description="its first sample after the first of the sEEG")
    events: Path | None = Field(None, description="an events.tsv instead of the sidecar")
    unit: str | float | None = Field(None, description="name, or microvolts in one unit")
    contacts: tuple[str, ...] | None = Field(None, description="channels to take, in this order")
    bad_contacts: tuple[str, ...] = Field((), description="more than channels.tsv marks")
    line_hz: float | None = Field(None, description="instead of the sidecar's")
    seeg_stream: str | None = Field(None, description="name of the stream in an XDF file")
    audio_stream: str | None = None
    marker_stream: str | None = None


class ExperimentSettings(Model):
    """Everything `seegvox train` can be told."""

    name: str = "patient"
    seed: int = Field(0, ge=0)
    test_fraction: float = Field(0.15, gt=0, lt=0.9)
    target_lookahead: int = Field(0, ge=0)
    recording: RecordingSettings = RecordingSettings()
    front_end: FrontEndSpec = FrontEndSpec()
    network: NetworkSpec = NetworkSpec()
    loss: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    augment: AugmentSettings = AugmentSettings()
    validation: ValidationSettings = ValidationSettings()
    machine: MachineSettings = MachineSettings()
    log: LogSettings = LogSettings()
    joint: JointSettings = JointSettings()
    feature_cache: str | None = Field(
        None, description="folder of cached features; `.features` beside the experiment if none"
    )
