"""The network inside an affine coupling: a WaveNet that may look both ways (Prenger et al. 2019).

Gated activations and skip connections after van den Oord et al. 2016; dilation doubles with every
layer and never starts again. Tensors have the names of the published checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.waveglow import WaveGlowSpec


class CouplingNet(nn.Module):
    """Half of the channels and the condition to shift and log scale of the other half.

    Its last layer starts at zero: a fresh coupling changes nothing.

    Parameters
    ----------
    spec : layers, channels, kernel, size of the condition.
    half : channels that come in.
    """

    def __init__(self, spec: WaveGlowSpec, half: int) -> None:
        super().__init__()
        c, self.moved = spec.channels, half
        self.start = nn.Conv1d(half, c, 1)
        self.cond_layer = nn.Conv1d(spec.mels * spec.group, 2 * c * spec.layers, 1)
        self.in_layers = nn.ModuleList()
        self.res_skip_layers = nn.ModuleList()
        for i in range(spec.layers):
            around = (spec.kernel - 1) * 2**i // 2
            self.in_layers.append(nn.Conv1d(c, 2 * c, spec.kernel, dilation=2**i, padding=around))
            self.res_skip_layers.append(nn.Conv1d(c, c if i == spec.layers - 1 else 2 * c, 1))
        self.end = nn.Conv1d(c, 2 * half, 1)
        nn.init.zeros_(self.end.weight)
        assert self.end.bias is not None
        nn.init.zeros_(self.end.bias)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and log scale, each `(batch, half, time)`.

        Parameters
        ----------
        x : `(batch, half, time)`.
        condition : `(batch, mels * group, time)`.
        """
        x = self.start(x)
        width, last = x.shape[1], len(self.in_layers) - 1
        # Once: under weight norm each access computes them. Layer by layer: all at once would take
        # 4096 channels at a time.
        weights = torch.split(self.cond_layer.weight, 2 * width)
        assert self.cond_layer.bias is not None
        biases = torch.split(self.cond_layer.bias, 2 * width)
        skipped = torch.zeros_like(x)
        for i, (inner, outer) in enumerate(zip(self.in_layers, self.res_skip_layers, strict=True)):
            both = inner(x) + F.conv1d(condition, weights[i], biases[i])
            y = outer(torch.tanh(both[:, :width]) * torch.sigmoid(both[:, width:]))
            if i < last:
                x = x + y[:, :width]
                y = y[:, width:]
            skipped = skipped + y
        shift, log_scale = torch.split(self.end(skipped), self.moved, 1)
        return shift, log_scale
