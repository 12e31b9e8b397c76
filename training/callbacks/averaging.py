"""Stochastic weight averaging with batch-norm statistics of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning as L
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from training.phases import Batch, Phase
from training.settings import AveragingSettings


class Averaging(L.Callback):
    """The mean of a network's weights over the late steps of a phase (Izmailov et al. 2018)."""

    def __init__(self, network: torch.nn.Module, settings: AveragingSettings, steps: int) -> None:
        self._settings, self._after = settings, settings.start * steps
        self.average = AveragedModel(network)

    @property
    def count(self) -> int:
        """Weights averaged so far."""
        return int(self.average.n_averaged)

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        """Take in the weights of a late step."""
        late = module.step - self._after
        if late > 0 and int(late) % self._settings.every == 0:
            self.average.update_parameters(module.network)

    def apply(self, module: Phase, batches: Iterable[Batch]) -> None:
        """Give the network the mean weights, and statistics of training stretches under them."""
        module.network.load_state_dict(self.average.module.state_dict())
        renew_norms(module, batches)

    def state_dict(self) -> dict[str, Any]:
        """Mean and count."""
        return dict(self.average.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.average.load_state_dict(state_dict)


@torch.no_grad()
def renew_norms(module: Phase, batches: Iterable[Batch]) -> None:
    """Batch-norm statistics anew, as a plain mean over batches decoded as at inference."""
    norms = [norm for norm in module.norms() if isinstance(norm, _BatchNorm)]
    kept = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for batch in batches:
        module.predict(batch)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    module.eval()
