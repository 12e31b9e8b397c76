"""Strided convolutions over time: one definition for whole signals, windows and steps."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.grid import Layout, ShaftGrid
from models.networks.strides import split_stride
from models.spec import NetworkSpec


class ConvLayer(nn.Module):
    """`(batch, time, in, *grid) -> (batch, time / stride, out, *grid_out)`, with batch norm.

    Causal: output `t` ends with input sample `(t + 1) * stride - 1`, seeing none later. Otherwise
    it is centred on its `stride` samples. Across the grid the kernel is 3 and the stride 2.

    The tail, `(batch, lead, in, *grid)`, is what comes before the block: what the next block still
    needs of this one, zeros at a cold start.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        grid: tuple[int, ...] = (),
        causal: bool = True,
        rectified: bool = True,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.inputs = max(kernel, stride), stride, inputs
        self.grid, self.rectified = grid, rectified
        around = self.kernel - stride
        self.lead = around if causal else around // 2
        self.trail = around - self.lead
        self.grid_out = tuple(-(-n // 2) for n in grid)
        rank = len(grid)
        kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank]
        sizes = (3,) * rank + (self.kernel,), (2,) * rank + (stride,), (1,) * rank + (0,)
        self.conv: nn.Conv1d | nn.Conv2d | nn.Conv3d = kind(inputs, outputs, *sizes, bias=False)
        norm: Any = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank]
        self.norm: nn.Module = norm(outputs)

    def initial_tail(self, batch: int) -> Tensor:
        """Silence before the first sample."""
        return self.conv.weight.new_zeros(batch, self.lead, self.inputs, *self.grid)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next tail; `x` holds a multiple of `stride` samples."""
        padded = torch.cat([tail, x], 1)
        after = padded[:, padded.shape[1] - tail.shape[1] :]
        if self.trail:
            nothing = x.new_zeros(len(x), self.trail, *x.shape[2:])
            padded = torch.cat([padded, nothing], 1)
        y = self.norm(self.conv(padded.movedim(1, -1))).movedim(-1, 1)
        return F.relu(y) if self.rectified else y, after


class ConvStack(nn.Module):
    """Three convolutions to about 100 Hz: `(batch, time, channels)` to `(batch, ticks, features)`.

    Over time alone (`1d`), contacts and time (`2d`), or shaft, contact and time (`3d`); the last
    two are flattened by a linear layer.

    Parameters
    ----------
    spec : kind, widths, kernels, `conv_features`, `causal`.
    channels : feature channels of the front end.
    stride : samples per encoder tick, split over the layers.
    layout : where each channel sits, for `3d`.
    """

    def __init__(
        self, spec: NetworkSpec, channels: int, stride: int, layout: Layout | None = None
    ) -> None:
        super().__init__()
        self.kind = spec.conv
        self.grid = ShaftGrid(layout, channels) if spec.conv == "3d" else None
        widths, inputs = spec.conv_channels, channels
        grid: tuple[int, ...] = ()
        if self.grid is not None:
            inputs, grid = self.grid.bands, self.grid.shape
        elif spec.conv == "2d":
            inputs, grid = 1, (channels,)
        else:
            widths = (*widths[:2], spec.conv_features)
        self.layers = nn.ModuleList()
        for width, kernel, part in zip(
            widths, spec.conv_kernels, split_stride(stride), strict=True
        ):
            layer = ConvLayer(inputs, width, kernel, part, grid, spec.causal)
            self.layers.append(layer)
            inputs, grid = width, layer.grid_out
        flat = inputs * int(torch.Size(grid).numel())
        self.flatten = nn.Linear(flat, spec.conv_features) if grid else nn.Identity()

    def initial_tails(self, batch: int) -> list[Tensor]:
        """One tail per layer."""
        return [cast(ConvLayer, layer).initial_tail(batch) for layer in self.layers]

    def forward(self, x: Tensor, tails: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Features and next tails."""
        if self.grid is not None:
            x = self.grid(x)
        y, carried = x[:, :, None] if self.kind == "2d" else x, []
        for layer, tail in zip(self.layers, tails, strict=True):
            y, tail = layer(y, tail)
            carried.append(tail)
        return self.flatten(y.flatten(2)), carried
