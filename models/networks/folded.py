"""Batch norm folded away and convolutions as one matrix product, for stepping.

A folded layer has the same `forward(x, state)` as the layer it replaces, so encoder and decoder run
unchanged, for one run and one tick. Over a tick of a few samples one product on gathered windows
costs about three quarters of the convolution operator.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.networks.convolution import ConvLayer
from models.networks.network import SpeechNetwork


class FoldedConv(nn.Module):
    """A causal 1-D convolution with its norm, as a product with `(kernel * in, out)` weights."""

    def __init__(self, layer: ConvLayer) -> None:
        super().__init__()
        fused = fuse_conv_bn_eval(layer.conv, _norm(layer))
        self.kernel, self.stride, self.inputs = layer.kernel, layer.stride, layer.inputs
        self.rectified = layer.rectified
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
        starts = range(0, x.shape[1], self.stride)
        windows = [padded[:, s : s + self.kernel].flatten(1) for s in starts]
        # One window is the whole block: no slice is left in the graph then.
        rows = windows[0] if len(windows) == 1 else torch.cat(windows, 0)
        y = rows @ self.weight + self.bias
        y = (F.relu(y) if self.rectified else y).reshape(x.shape[0], len(windows), -1)
        return y, padded[:, padded.shape[1] - tail.shape[1] :]


class StepGru(nn.Module):
    """A GRU over one tick of one run, `(1, 1, in)`: the state is the output, nothing is moved."""

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        self.gru = gru
        self.gru.batch_first = False

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next state, which are the same."""
        _, hidden = self.gru(x, hidden)
        return hidden, hidden


def fold(network: SpeechNetwork) -> SpeechNetwork:
    """A copy of `network` for stepping one run tick by tick, norms folded into convolutions."""
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for stack in (folded.encoder.conv.layers, folded.postnet.layers):
        for i, layer in enumerate(stack):
            assert isinstance(layer, ConvLayer)
            stack[i] = _fold_layer(layer)
    grus = folded.encoder.grus
    for i, gru in enumerate(grus):
        assert isinstance(gru, nn.GRU)
        grus[i] = StepGru(gru)
    folded.decoder.gru.batch_first = False
    return folded


def _fold_layer(layer: ConvLayer) -> nn.Module:
    """One product for a convolution over time; over a grid the operator, its norm within."""
    if not layer.grid:
        return FoldedConv(layer)
    layer.conv = fuse_conv_bn_eval(layer.conv, _norm(layer))
    layer.norm = nn.Identity()
    return layer


def _norm(layer: ConvLayer) -> _BatchNorm:
    assert isinstance(layer.norm, _BatchNorm)
    return layer.norm
