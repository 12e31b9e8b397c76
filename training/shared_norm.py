"""Batch normalisation over the stretches of all processes, on any device.

`torch.nn.SyncBatchNorm` works on GPUs only. Here the mean and the variance of the global batch
are summed over processes inside the graph, so that the gradient of every process flows through
every other's; with equal shares this is exactly the normalisation of the whole batch in one
process (Ioffe & Szegedy 2015, alg. 1), but for the order of summation.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from lightning.pytorch.plugins import LayerSync
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SharedNorm(LayerSync):
    """Makes a model's batch-norm layers see the global batch while it trains."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Put the shared forward pass in place; parameters and buffers stay the same objects."""
        for layer in model.modules():
            if isinstance(layer, _BatchNorm):
                layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Take it away again."""
        for layer in model.modules():
            if isinstance(layer, _BatchNorm):
                layer.__dict__.pop("forward", None)
        return model


class _Sum(torch.autograd.Function):
    """Sum over processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The sum."""
        total = x.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Every process's output depends on this input."""
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


def _mean(x: Tensor, shape: list[int]) -> Tensor:
    over = [0, *range(2, x.dim())]
    total: Tensor = _Sum.apply(x.mean(over))  # type: ignore[no-untyped-call]
    return total.view(shape) / distributed.get_world_size()


def _forward(layer: _BatchNorm, x: Tensor) -> Tensor:
    if not layer.training:
        return type(layer).forward(layer, x)
    values, shape = x.float(), [1, -1] + [1] * (x.dim() - 2)
    mean = _mean(values, shape)
    variance = _mean((values - mean) ** 2, shape)
    _remember(layer, mean, variance, x.numel() // x.shape[1] * distributed.get_world_size())
    y = (values - mean) * torch.rsqrt(variance + layer.eps)
    if layer.affine:
        y = y * layer.weight.view(shape) + layer.bias.view(shape)
    return y.to(x.dtype)


@torch.no_grad()
def _remember(layer: _BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    """The running statistics, as torch keeps them: the variance unbiased."""
    if layer.running_mean is None or layer.running_var is None:
        return
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked += 1
    share = layer.momentum or 1.0 / float(layer.num_batches_tracked)
    unbiased = variance.flatten() * count / max(1, count - 1)
    layer.running_mean.lerp_(mean.flatten(), share)
    layer.running_var.lerp_(unbiased, share)
