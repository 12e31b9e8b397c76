"""What a vocoder's sound is compared by: spectra at several resolutions, and mel bands."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.mel import FLOOR, VOCODER_FFT, VOCODER_HOP, vocoder_basis

# FFT, hop: from 16 ms, which sees pulses of the voice, to 128 ms, which sees its harmonics.
RESOLUTIONS = ((256, 64), (512, 128), (1024, 256), (2048, 512))
_TINY = 1e-7


class SpectralLoss(nn.Module):
    """Multi-resolution STFT loss (Yamamoto, Song & Kim 2020) and an L1 of log-mels.

    At each resolution the spectral convergence and the mean absolute difference of log magnitudes;
    phases are left to be what they may.
    """

    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        basis = torch.from_numpy(vocoder_basis().copy()).float()
        self.register_buffer("basis", basis)

    def forward(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Losses `stft` and `mel` of sound `(batch, samples)`."""
        parts = [self._one(made, true, fft, hop) for fft, hop in RESOLUTIONS]
        mel = (self.mel(made) - self.mel(true)).abs().mean()
        return {"stft": torch.stack(parts).mean(), "mel": mel}

    def mel(self, sound: Tensor) -> Tensor:
        """Log-mels `(batch, 80, frames)` on the vocoder's grid."""
        bands = self.basis @ magnitudes(sound, VOCODER_FFT, VOCODER_HOP)
        logs: Tensor = torch.log(bands.clamp(FLOOR))
        return logs

    def _one(self, made: Tensor, true: Tensor, fft: int, hop: int) -> Tensor:
        a, b = magnitudes(made, fft, hop), magnitudes(true, fft, hop)
        apart, size = (torch.linalg.norm(x, dim=(1, 2)) for x in (a - b, b))
        convergence: Tensor = (apart / (size + 1)).mean()
        floor = 1e-4 * fft**0.5
        difference: Tensor = (torch.log(a + floor) - torch.log(b + floor)).abs().mean()
        return convergence + difference


def magnitudes(sound: Tensor, fft: int, hop: int) -> Tensor:
    """STFT magnitudes `(batch, bins, frames)`, Hann window."""
    window = torch.hann_window(fft, device=sound.device)
    spectrum = torch.stft(sound, fft, hop, window=window, return_complex=True)
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + _TINY)


def generator_loss(fake: list[list[Tensor]], real: list[list[Tensor]]) -> dict[str, Tensor]:
    """Least squares against ones (Mao et al. 2017), and feature matching (Kumar et al. 2019).

    Parameters
    ----------
    fake, real : per discriminator all its layers' outputs, the judgement last.
    """
    adversarial = [((1 - maps[-1]) ** 2).mean() for maps in fake]
    features = [
        (a - b.detach()).abs().mean()
        for mine, theirs in zip(fake, real, strict=True)
        for a, b in zip(mine[:-1], theirs[:-1], strict=True)
    ]
    return {
        "adversarial": torch.stack(adversarial).mean(),
        "features": torch.stack(features).mean(),
    }


def discriminator_loss(fake: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
    """Least squares: ones for true sound, zeros for made."""
    parts = [
        (mine[-1] ** 2).mean() + ((1 - theirs[-1]) ** 2).mean()
        for mine, theirs in zip(fake, real, strict=True)
    ]
    return torch.stack(parts).mean()
