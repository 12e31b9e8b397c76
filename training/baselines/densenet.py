"""The DenseNet baseline: Angrick et al. 2019, fitted in minutes on two cores.

Same input windows as the linear baselines. Adam and mean squared error as in the paper; the frame
budget, early stopping on the last part of training and dropout are ours. What of the architecture
was followed and what not is said in `models/networks/densenet.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from models.errors import SettingsError
from models.montage import Contact
from models.networks.densenet import DenseNet
from models.spec import Model
from training.baselines.envelopes import Floats

_CHUNK = 512
_VALIDATION_FRAMES = 1500


class DenseNetSettings(Model):
    """Shapes and budget of the DenseNet."""

    growth: int = Field(8, ge=1)
    blocks: tuple[int, ...] = (2, 2, 2)
    dropout: float = Field(0.2, ge=0, lt=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    batch: int = Field(64, ge=2)
    steps: int = Field(500, ge=1, description="most optimiser steps")
    check_every: int = Field(50, ge=1, description="steps between looks at the validation part")
    patience: int = Field(6, ge=1, description="looks without improvement before stopping")
    validation: float = Field(0.15, gt=0, lt=0.5, description="last share of each training part")
    max_minutes: float = Field(6.0, gt=0)


@dataclass(frozen=True)
class DenseNetBaseline:
    """A fitted network, its scaling, and what training says of itself."""

    network: DenseNet
    scaling: Scaling
    report: dict[str, Any]

    def predict(self, x: Floats) -> Floats:
        """Targets `(frames, outputs)` for features `(frames, windows * channels)`."""
        return self.scaling.unscaled(_run(self.network, self.scaling.inputs(x)))


@dataclass(frozen=True)
class Scaling:
    """Mean and deviation of features and targets, of the training frames."""

    x_mean: Floats
    x_std: Floats
    y_mean: Floats
    y_std: Floats
    windows: int

    @classmethod
    def fit(cls, x: Floats, y: Floats, windows: int) -> Scaling:
        """From features `(frames, windows * channels)` and targets `(frames, outputs)`."""
        x_std, y_std = x.std(axis=0), y.std(axis=0)
        return cls(
            x.mean(axis=0),
            np.where(x_std > 0, x_std, 1).astype(np.float32),
            y.mean(axis=0),
            np.maximum(y_std, 1e-3),
            windows,
        )

    def inputs(self, x: Floats) -> Tensor:
        """Z-scores, clipped at 6, `(frames, windows, channels)`."""
        z = np.clip((x - self.x_mean) / self.x_std, -6, 6).astype(np.float32)
        return torch.from_numpy(z.reshape(len(x), self.windows, -1))

    def targets(self, y: Floats) -> Tensor:
        """Z-scored targets."""
        return torch.from_numpy(((y - self.y_mean) / self.y_std).astype(np.float32))

    def unscaled(self, y: Tensor) -> Floats:
        """Targets from z-scores."""
        return (y.numpy() * self.y_std + self.y_mean).astype(np.float32)


def grid(names: Sequence[str]) -> Tensor:
    """Channel at each place, `(shafts, most contacts of a shaft)`, -1 where there is none.

    Contacts stand in the order of their number. Several bands of a contact take rows of their own,
    as shafts do.

    Parameters
    ----------
    names : of the feature channels; of a difference `A1-A2` the first counts.
    """
    rows: dict[tuple[int, str], list[tuple[int, int]]] = {}
    seen: dict[str, int] = {}
    for channel, name in enumerate(names):
        contact = Contact.parse(name.partition("-")[0])
        band = seen[name] = seen.get(name, -1) + 1
        rows.setdefault((band, contact.shaft), []).append((contact.number, channel))
    places = torch.full((len(rows), max(len(row) for row in rows.values())), -1)
    for number, row in enumerate(rows.values()):
        places[number, : len(row)] = torch.tensor([channel for _, channel in sorted(row)])
    return places


def fit_densenet(
    parts: Sequence[tuple[Floats, Floats]],
    names: Sequence[str],
    gap: int,
    settings: DenseNetSettings,
    seed: int = 0,
) -> DenseNetBaseline:
    """Train on contiguous parts of features and targets; stop when the validation part says so.

    The same seed and machine give the same network, unless time runs out first (the report says).

    Parameters
    ----------
    parts : features `(frames, windows * channels)`, earliest window first, and targets
        `(frames, outputs)`; each contiguous in time.
    names : of the feature channels.
    gap : frames left out between training and validation.

    Raises
    ------
    SettingsError
        If no part is long enough to be divided.
    """
    train, held = _divided(parts, gap, settings.validation)
    x, y = _joined(train)
    scaling = Scaling.fit(x, y, x.shape[1] // len(names))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DenseNet(
            grid(names),
            scaling.windows,
            y.shape[1],
            settings.growth,
            settings.blocks,
            settings.dropout,
        )
        held_x, held_y = _joined(held)
        every = max(1, len(held_x) // _VALIDATION_FRAMES)
        validation = scaling.inputs(held_x[::every]), scaling.targets(held_y[::every])
        training = scaling.inputs(x), scaling.targets(y)
        report = _train(network, training, validation, settings, seed)
    return DenseNetBaseline(network.eval(), scaling, report)


def _divided(
    parts: Sequence[tuple[Floats, Floats]], gap: int, share: float
) -> tuple[list[tuple[Floats, Floats]], list[tuple[Floats, Floats]]]:
    """Training and validation: the last share of every part long enough, a gap before it."""
    train, held = [], []
    for x, y in parts:
        last = round(share * len(x))
        first = len(x) - last - gap
        if min(first, last) <= gap:
            train.append((x, y))
        else:
            train.append((x[:first], y[:first]))
            held.append((x[-last:], y[-last:]))
    if not held:
        longest = max((len(x) for x, _ in parts), default=0)
        raise SettingsError(
            f"the longest training part has {longest} frames",
            f"more than {int(gap / share) + 1} to stop early by its last {share:.0%}",
            "record longer, or hold out less",
        )
    return train, held


def _joined(parts: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


class _Best:
    """The weights with the least validation error so far."""

    def __init__(self, network: DenseNet, patience: int) -> None:
        self.network, self.patience = network, patience
        self.error, self.step, self.stale = float("inf"), 0, 0
        self.weights: dict[str, Tensor] = {}

    def look(self, error: float, step: int) -> bool:
        """Whether training has gone on in vain for long enough."""
        self.stale += 1
        if error < self.error:
            self.error, self.step, self.stale = error, step, 0
            self.weights = {k: v.clone() for k, v in self.network.state_dict().items()}
        return self.stale >= self.patience


def _train(
    network: DenseNet,
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    settings: DenseNetSettings,
    seed: int,
) -> dict[str, Any]:
    optimiser = torch.optim.Adam(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    rng, best = np.random.default_rng(seed), _Best(network, settings.patience)
    start, stopped, step = time.monotonic(), "steps", 0
    for step in range(1, settings.steps + 1):
        _step(network, optimiser, training, rng.integers(len(training[0]), size=settings.batch))
        late = time.monotonic() - start > 60 * settings.max_minutes
        if step % settings.check_every and step < settings.steps and not late:
            continue
        done = best.look(_error(network, *validation), step)
        if late or done:
            stopped = "time" if late else "early"
            break
    network.load_state_dict(best.weights)
    return {
        "steps": step,
        "best_step": best.step,
        "stopped_by": stopped,
        "validation_error": best.error,
        "weights": sum(p.numel() for p in network.parameters()),
        "seconds": round(time.monotonic() - start, 1),
        "seed": seed,
    }


def _step(
    network: DenseNet,
    optimiser: torch.optim.Optimizer,
    training: tuple[Tensor, Tensor],
    chosen: np.ndarray[Any, np.dtype[np.int64]],
) -> None:
    index = torch.from_numpy(chosen)
    network.train()
    loss = torch.nn.functional.mse_loss(network(training[0][index]), training[1][index])
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _error(network: DenseNet, x: Tensor, y: Tensor) -> float:
    return float(torch.nn.functional.mse_loss(_run(network, x), y))


def _run(network: DenseNet, x: Tensor) -> Tensor:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part) for part in torch.split(x, _CHUNK)])
