"""The post-net: five causal convolutions over frames that add a residual."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.spec import NetworkSpec


class PostnetLayer(nn.Module):
    """Causal convolution over frames, `(batch, frames, in)`, with a carried tail."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.inputs, self.kernel, self.stride = inputs, kernel, 1
        self.conv = nn.Conv1d(inputs, outputs, kernel, bias=False)
        self.norm = nn.BatchNorm1d(outputs)

    def initial_tail(self, batch: int) -> Tensor:
        """No frames yet."""
        return self.conv.weight.new_zeros(batch, self.kernel - 1, self.inputs)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next tail."""
        padded = torch.cat([tail, x], 1)
        y = self.norm(self.conv(padded.transpose(1, 2))).transpose(1, 2)
        return y, padded[:, padded.shape[1] - tail.shape[1] :]


class Postnet(nn.Module):
    """Residual correction of normalised frames (Shen et al. 2018, section 2.2, made causal)."""

    def __init__(self, spec: NetworkSpec, bands: int, dropout: float = 0.3) -> None:
        super().__init__()
        width, count = spec.postnet_channels, spec.postnet_layers
        sizes = [bands, *[width] * (count - 1), bands]
        self.layers = nn.ModuleList(
            PostnetLayer(a, b, spec.postnet_kernel) for a, b in pairwise(sizes)
        )
        self.dropout = dropout
        # The residual starts at nothing (Goyal et al. 2017, section 5.1).
        nn.init.zeros_(self.layers[-1].norm.weight)  # type: ignore[arg-type,union-attr]

    def initial_tails(self, batch: int) -> list[Tensor]:
        """One tail per layer."""
        return [layer.initial_tail(batch) for layer in self.layers]  # type: ignore[operator]

    def forward(self, x: Tensor, tails: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Residual for `(batch, frames, bands)` and next tails."""
        y, carried = x, []
        for i, (layer, tail) in enumerate(zip(self.layers, tails, strict=True)):
            y, tail = layer(y, tail)
            carried.append(tail)
            if i + 1 < len(self.layers):
                y = F.dropout(torch.tanh(y), self.dropout, self.training)
        return y, carried
