"""The post-net: five convolutions over frames that add a residual."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.networks.convolution import ConvLayer
from models.networks.dropout import dropout
from models.networks.shifted import convolved
from models.spec import NetworkSpec


class Postnet(nn.Module):
    """Residual correction of the decoder's output (Shen et al. 2018, section 2.2).

    Causal, or centred on the frame; `width` is that of the output, the bands or their logits.
    """

    def __init__(self, spec: NetworkSpec, width: int, dropout: float = 0.3) -> None:
        super().__init__()
        inner = [spec.postnet_channels] * (spec.postnet_layers - 1)
        sizes = [width, *inner, width] if spec.postnet else []
        self.layers = nn.ModuleList(
            ConvLayer(a, b, spec.postnet_kernel, causal=spec.causal, rectified=False)
            for a, b in pairwise(sizes)
        )
        self.dropout = dropout
        if self.layers:
            # The residual starts at nothing (Goyal et al. 2017, section 5.1).
            nn.init.zeros_(self.layers[-1].norm.weight)  # type: ignore[arg-type,union-attr]

    def initial_tails(self, batch: int) -> list[Tensor]:
        """One tail per layer."""
        return [layer.initial_tail(batch) for layer in self.layers]  # type: ignore[operator]

    def forward(self, x: Tensor, tails: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`x` `(batch, frames, width)` with its residual added, and next tails."""
        y, carried = x, []
        for i, (layer, tail) in enumerate(zip(self.layers, tails, strict=True)):
            y, tail = layer(y, tail)
            carried.append(tail)
            if i + 1 < len(self.layers):
                y = dropout(torch.tanh(y), self.dropout, self.training)
        return (x + y if self.layers else x), carried

    def run(self, x: Tensor) -> Tensor:
        """`forward` of a whole run from a cold start, `(batch, frames, width)`."""
        exact = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        if not (self.training and exact and self.layers):
            return self(x, self.initial_tails(len(x)))[0]  # type: ignore[no-any-return]
        y = x.transpose(0, 1)
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, ConvLayer)
            y = convolved(y, layer.conv.weight, layer.lead)
            y = layer.norm(y.flatten(0, 1)).view_as(y)
            if i + 1 < len(self.layers):
                y = dropout(torch.tanh(y), self.dropout, self.training)
        return x + y.transpose(0, 1)
