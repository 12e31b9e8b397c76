"""Batch norm folded away and convolutions as one matrix product, for stepping.

A folded layer has the same `forward(x, tail)` as the layer it replaces, so encoder and decoder run
unchanged. Over a tick of a few samples one product on gathered windows costs about three quarters
of the convolution operator (NOTES-streaming-vocoder.md, 4.1).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.networks.causal import CausalNetwork
from models.networks.convolution import CausalConv1d, CausalConv2d
from models.networks.postnet import PostnetLayer


class FoldedConv(nn.Module):
    """A causal 1-D convolution with its norm, as a product with `(kernel * in, out)` weights."""

    def __init__(self, layer: CausalConv1d | PostnetLayer) -> None:
        super().__init__()
        fused = fuse_conv_bn_eval(layer.conv, layer.norm)
        self.kernel, self.stride, self.inputs = layer.kernel, layer.stride, layer.inputs
        self.rectified = isinstance(layer, CausalConv1d)
        weight = fused.weight.detach().permute(2, 1, 0).flatten(0, 1)
        self.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        assert fused.bias is not None
        self.bias = nn.Parameter(fused.bias.detach().clone(), requires_grad=False)

    def initial_tail(self, batch: int) -> Tensor:
        """Silence before the first sample."""
        return self.weight.new_zeros(batch, self.kernel - self.stride, self.inputs)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next tail."""
        padded = torch.cat([tail, x], 1) if tail.shape[1] else x
        count = x.shape[1] // self.stride
        starts = [t * self.stride for t in range(count)]
        windows = torch.stack([padded[:, s : s + self.kernel].flatten(1) for s in starts], 1)
        y = windows @ self.weight + self.bias
        return F.relu(y) if self.rectified else y, padded[:, padded.shape[1] - tail.shape[1] :]


class FusedConv2d(nn.Module):
    """A causal 2-D convolution with its norm in one operator."""

    def __init__(self, layer: CausalConv2d) -> None:
        super().__init__()
        self.initial_tail = layer.initial_tail
        self.conv = fuse_conv_bn_eval(layer.conv, layer.norm)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next tail."""
        padded = torch.cat([tail, x], 1)
        y = F.relu(self.conv(padded.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return y, padded[:, padded.shape[1] - tail.shape[1] :]


def fold(network: CausalNetwork) -> CausalNetwork:
    """An inference copy of `network`, every norm folded into its convolution."""
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for stack in (folded.encoder.conv.layers, folded.postnet.layers):
        for i, layer in enumerate(stack):
            stack[i] = _fold_layer(layer)
    return folded


def _fold_layer(layer: nn.Module) -> nn.Module:
    if isinstance(layer, CausalConv2d):
        return FusedConv2d(layer)
    if isinstance(layer, CausalConv1d | PostnetLayer):
        return FoldedConv(layer)
    raise TypeError(f"no folded form of {type(layer).__name__}")
