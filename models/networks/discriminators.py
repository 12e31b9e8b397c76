"""Who tells made sound from true sound in adversarial training.

By period: the wave folded to a plane, as in HiFi-GAN (Kong, Kim & Bae 2020). By resolution:
magnitudes of short-time spectra, as in UnivNet (Jang et al. 2021). Vocos trains against both.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = ((512, 64), (1024, 128), (256, 32))
_SLOPE = 0.1


class Plane(nn.Module):
    """Convolutions over a plane; gives the output of every layer, the judgement last."""

    def __init__(self, widths: Sequence[int], kernel: tuple[int, int], stride: tuple[int, int]):
        super().__init__()
        around = kernel[0] // 2, kernel[1] // 2
        pairs = zip((1, *widths[:-1]), widths, strict=True)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, kernel, stride, padding=around)) for a, b in pairs
        )
        self.judge = weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Layers of `(batch, 1, height, width)`."""
        maps = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
            maps.append(x)
        return [*maps, self.judge(x)]


class ByPeriod(nn.Module):
    """One judge per period."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [width, 4 * width, 8 * width, 8 * width]
        self.judges = nn.ModuleList(Plane(widths, (5, 1), (3, 1)) for _ in PERIODS)

    def forward(self, sound: Tensor) -> list[list[Tensor]]:
        """Layers of each judge for sound `(batch, samples)`."""
        found = []
        for judge, period in zip(self.judges, PERIODS, strict=True):
            short = -sound.shape[1] % period
            padded = F.pad(sound, (0, short))
            found.append(judge(padded.reshape(len(sound), 1, -1, period)))
        return found


class ByResolution(nn.Module):
    """One judge per resolution."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.judges = nn.ModuleList(Plane([width] * 4, (3, 9), (1, 2)) for _ in RESOLUTIONS)

    def forward(self, sound: Tensor) -> list[list[Tensor]]:
        """Layers of each judge for sound `(batch, samples)`."""
        found = []
        for judge, (fft, hop) in zip(self.judges, RESOLUTIONS, strict=True):
            window = torch.hann_window(fft, device=sound.device)
            spectrum = torch.stft(sound, fft, hop, window=window, return_complex=True)
            found.append(judge(spectrum.abs()[:, None]))
        return found


class Discriminators(nn.Module):
    """Both kinds together."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.kinds = nn.ModuleList([ByPeriod(width), ByResolution(width)])

    def forward(self, sound: Tensor) -> list[list[Tensor]]:
        """Layers of every judge for sound `(batch, samples)`."""
        return [maps for kind in self.kinds for maps in kind(sound)]
