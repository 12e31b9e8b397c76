"""Learning-rate schedules over the steps of a phase."""

from __future__ import annotations

from functools import partial
from math import cos, pi

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from training.settings import PhaseSettings, ScheduleSettings


def make_schedule(optimiser: Optimizer, phase: PhaseSettings) -> LRScheduler:
    """The schedule that a phase asks for; to be stepped after every optimiser step."""
    settings = phase.schedule
    if settings.kind == "one_cycle":
        return OneCycleLR(
            optimiser,
            phase.learning_rate,
            total_steps=phase.steps + 1,
            pct_start=max(settings.warm_up, 1e-6),
        )
    return LambdaLR(optimiser, partial(rate_factor, settings, phase.steps))


def rate_factor(settings: ScheduleSettings, steps: int, step: int) -> float:
    """Learning rate at a step over the peak rate, for all kinds but `one_cycle`."""
    rising = settings.warm_up * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    if settings.kind == "step":
        return float(settings.factor ** int(step / (settings.every * steps)))
    if settings.kind == "cosine":
        progress = min(1.0, (step - rising) / max(1.0, steps - rising))
        return settings.floor + (1 - settings.floor) * (1 + cos(pi * progress)) / 2
    return 1.0
