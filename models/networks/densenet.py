"""Densely connected 3-D convolutional network over shaft, contact and time.

After Angrick et al. 2019 (J Neural Eng 16:036019), who map a patch of an electrode grid in nine
windows of high gamma (8 x 8 x 9, their figure 3) through three dense blocks (Huang et al. 2017,
CVPR: each layer sees all before it) to one logMel frame. Followed: that input, with the shaft as
one side of the grid and the contact's place on it as the other; three dense blocks of 3-D
convolutions with batch norm before ReLU; transitions that halve; a linear read-out.

Departures, since shafts are no grid: neighbouring shafts are not neighbours in the brain, so
nothing is pooled over shafts (contacts and time are); and which contact speaks matters more than
what a patch has in common, so the last block is read out as it is, without global pooling. Shafts
of different length are padded with the training mean. Width and depth of the blocks are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 3x3x3 convolution; its output joins its input."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(inputs)
        self.conv = nn.Conv3d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs, ...)` to `(batch, inputs + growth, ...)`."""
        return torch.cat([x, self.conv(torch.relu(self.norm(x)))], 1)


class Transition(nn.Module):
    """Halves the channels, and contacts and time by averaging; shafts stay apart."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(inputs)
        self.conv = nn.Conv3d(inputs, inputs // 2, 1, bias=False)
        self.pool = nn.AvgPool3d((1, 2, 2), ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs, shafts, contacts, windows)`, the last two halved, rounded up."""
        return cast(Tensor, self.pool(self.conv(torch.relu(self.norm(x)))))


class DenseNet(nn.Module):
    """One target frame from the windows about it.

    Parameters
    ----------
    places : `(shafts, contacts)`, feature channel at each place of the grid, -1 where none is.
    windows : windows of context.
    outputs : bins of the target.
    growth : channels that each layer adds.
    blocks : layers in each dense block.
    dropout : before the read-out.
    """

    def __init__(
        self,
        places: Tensor,
        windows: int,
        outputs: int,
        growth: int = 8,
        blocks: Sequence[int] = (2, 2, 2),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.windows = windows
        self.register_buffer("places", places.clamp(min=0).flatten())
        self.register_buffer("present", (places >= 0).float())
        self.places: Tensor
        self.present: Tensor
        channels = 2 * growth
        layers: list[nn.Module] = [nn.Conv3d(1, channels, 3, padding=1, bias=False)]
        for number, depth in enumerate(blocks):
            if number:
                layers.append(Transition(channels))
                channels //= 2
            layers += [DenseLayer(channels + i * growth, growth) for i in range(depth)]
            channels += depth * growth
        layers += [nn.BatchNorm3d(channels), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.read_out = nn.Linear(self._flat(), outputs)

    def _flat(self) -> int:
        grid = torch.zeros(1, 1, *self.present.shape, self.windows)
        self.layers.eval()
        with torch.no_grad():
            size = int(self.layers(grid).shape[1])
        self.layers.train()
        return size

    def forward(self, x: Tensor) -> Tensor:
        """Frames `(batch, outputs)` of z-scored features `(batch, windows, channels)`."""
        batch, windows, _ = x.shape
        grid = x[:, :, self.places].view(batch, windows, *self.present.shape) * self.present
        return cast(Tensor, self.read_out(self.layers(grid.permute(0, 2, 3, 1)[:, None])))
