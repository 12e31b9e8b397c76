"""Causal strided convolutions with carried tails: one definition for whole signals and steps."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.strides import split_stride


class CausalConv1d(nn.Module):
    """Convolution over time, `(batch, time, in) -> (batch, time / stride, out)`, norm and ReLU.

    The tail, `(batch, kernel - stride, in)`, is what the next block still needs of this one; zeros
    at a cold start. Output `t` ends with input sample `(t + 1) * stride - 1`, seeing none later.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride, self.inputs = max(kernel, stride), stride, inputs
        self.conv = nn.Conv1d(inputs, outputs, self.kernel, stride, bias=False)
        self.norm = nn.BatchNorm1d(outputs)

    def initial_tail(self, batch: int) -> Tensor:
        """Silence before the first sample."""
        return self.conv.weight.new_zeros(batch, self.kernel - self.stride, self.inputs)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next tail; `x` holds a multiple of `stride` samples."""
        padded = torch.cat([tail, x], 1)
        y = self.norm(self.conv(padded.transpose(1, 2))).transpose(1, 2)
        return F.relu(y), padded[:, padded.shape[1] - tail.shape[1] :]


class CausalConv2d(nn.Module):
    """Convolution over contacts and time, `(batch, time, in, contacts)`, causal in time only."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, contacts: int, across: int = 2
    ) -> None:
        super().__init__()
        self.kernel, self.stride = max(kernel, stride), stride
        self.inputs, self.contacts = inputs, contacts
        self.contacts_out = -(-contacts // across)
        self.conv = nn.Conv2d(
            inputs, outputs, (3, self.kernel), (across, stride), padding=(1, 0), bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)

    def initial_tail(self, batch: int) -> Tensor:
        """Silence before the first sample."""
        shape = (batch, self.kernel - self.stride, self.inputs, self.contacts)
        return self.conv.weight.new_zeros(shape)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next tail; `x` holds a multiple of `stride` samples."""
        padded = torch.cat([tail, x], 1)
        y = self.norm(self.conv(padded.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return F.relu(y), padded[:, padded.shape[1] - tail.shape[1] :]


class ConvStack(nn.Module):
    """Three convolutions to about 100 Hz: `(batch, time, channels)` to `(batch, ticks, features)`.

    Parameters
    ----------
    kind : `1d` over time, or `2d` over contacts and time, flattened by a linear layer.
    channels : feature channels of the front end.
    widths, kernels : of the three layers.
    stride : samples per encoder tick, split over the layers.
    features : channels out.
    """

    def __init__(
        self,
        kind: str,
        channels: int,
        widths: tuple[int, int, int],
        kernels: tuple[int, int, int],
        stride: int,
        features: int,
    ) -> None:
        super().__init__()
        self.kind, strides = kind, split_stride(stride)
        if kind == "1d":
            sizes = zip(
                (channels, *widths[:2]), (*widths[:2], features), kernels, strides, strict=True
            )
            self.layers = nn.ModuleList(CausalConv1d(*size) for size in sizes)
            self.flatten: nn.Module = nn.Identity()
        else:
            self.layers, flat = _layers_2d(channels, widths, kernels, strides)
            self.flatten = nn.Linear(flat, features)

    def initial_tails(self, batch: int) -> list[Tensor]:
        """One tail per layer."""
        return [cast(CausalConv1d, layer).initial_tail(batch) for layer in self.layers]

    def forward(self, x: Tensor, tails: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Features and next tails."""
        y, carried = x if self.kind == "1d" else x[:, :, None, :], []
        for layer, tail in zip(self.layers, tails, strict=True):
            y, tail = layer(y, tail)
            carried.append(tail)
        return self.flatten(y.flatten(2)), carried


def _layers_2d(
    contacts: int,
    widths: tuple[int, int, int],
    kernels: tuple[int, int, int],
    strides: tuple[int, int, int],
) -> tuple[nn.ModuleList, int]:
    layers = nn.ModuleList()
    inputs = 1
    for width, kernel, stride in zip(widths, kernels, strides, strict=True):
        layer = CausalConv2d(inputs, width, kernel, stride, contacts)
        layers.append(layer)
        inputs, contacts = width, layer.contacts_out
    return layers, inputs * contacts
