"""WaveGlow over a whole recording: in pieces that fit memory, equal to one go; and a denoiser.

A sample depends on no more than `WaveGlowSpec.reach` mel frames to either side. Pieces overlap by
that, and noise is drawn once for all of them, so cutting changes nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from models.errors import SettingsError
from models.mel import RATE
from models.networks.waveglow import WaveGlow
from models.streaming import Floats
from training.vocoders.mel_grid import samples_of, to_waveglow_grid
from training.vocoders.rendering import Progress, RenderSettings

# NVIDIA's denoiser: frames of a mel of zeros, and the STFT in which the bias is taken off.
BIAS_FRAMES, FFT, FFT_HOP = 88, 1024, 256


def render(
    network: WaveGlow,
    mel: Floats,
    settings: RenderSettings | None = None,
    progress: Progress = lambda seconds: None,
) -> Floats:
    """Sound of mel frames on the hop grid.

    Parameters
    ----------
    network : from `training.vocoders.waveglow_file.load_waveglow`.
    mel : `(hops, 80)`, natural log.
    progress : told the seconds of each piece when it is done.

    Returns
    -------
    `(n,)` float32 at 22 050 Hz, as long as the hops.

    Raises
    ------
    SettingsError
        If the network was made for other mel frames.
    """
    settings = settings or RenderSettings()
    check_mels(network)
    frames = torch.from_numpy(to_waveglow_grid(mel)).T[None]
    audio = torch.cat(list(_pieces(network, frames, settings, progress)))
    if settings.denoise > 0 and len(audio) > FFT:
        audio = denoise(audio, bias_spectrum(network), settings.denoise)
    made: Floats = audio.numpy()[: samples_of(len(mel))]
    return made


def check_mels(network: WaveGlow) -> None:
    """Refuse a network of other mel frames than `models.mel`'s."""
    spec = network.spec
    if (spec.mels, spec.hop) != (80, FFT_HOP):
        raise SettingsError(
            f"this WaveGlow takes {spec.mels} mel bands every {spec.hop} samples",
            f"80 every {FFT_HOP}, 22 050 Hz, as NVIDIA's",
            "give a checkpoint for these mels",
        )


def noise(network: WaveGlow, frames: int, seed: int) -> Tensor:
    """White noise of unit variance for so many mel frames, `(1, group, time)`."""
    spec = network.spec
    shape = 1, spec.group, frames * spec.hop // spec.group
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _pieces(
    network: WaveGlow, mel: Tensor, settings: RenderSettings, progress: Progress
) -> Iterator[Tensor]:
    spec, frames = network.spec, mel.shape[2]
    z = settings.sigma * noise(network, frames, settings.seed)
    each, per = max(1, round(settings.piece_s * RATE / spec.hop)), spec.hop // spec.group
    for start in range(0, frames, each):
        stop = min(start + each, frames)
        first, last = max(0, start - spec.reach), min(frames, stop + spec.reach)
        with torch.inference_mode():
            audio = network.inverse(mel[:, :, first:last], z[:, :, first * per : last * per])[0]
        yield audio[(start - first) * spec.hop : (stop - first) * spec.hop].clone()
        progress((stop - start) * spec.hop / RATE)


def bias_spectrum(network: WaveGlow) -> Tensor:
    """Magnitudes `(513, 1)` of what the network hums on a mel of zeros without noise."""
    mel = torch.zeros(1, network.spec.mels, BIAS_FRAMES)
    with torch.inference_mode():
        hum = network.inverse(mel, torch.zeros_like(noise(network, BIAS_FRAMES, 0)))[0]
    return _stft(hum.clone())[:, :1].abs()


def denoise(audio: Tensor, bias: Tensor, strength: float) -> Tensor:
    """Audio `(n,)` less `strength` times the bias in magnitude, its phases kept."""
    spectrum = _stft(audio)
    size = spectrum.abs()
    gain = (size - strength * bias).clamp(min=0) / size.clamp(min=1e-9)
    return torch.istft(
        spectrum * gain, FFT, FFT_HOP, window=torch.hann_window(FFT), length=len(audio)
    )


def _stft(audio: Tensor) -> Tensor:
    window = torch.hann_window(FFT)
    return torch.stft(audio, FFT, FFT_HOP, window=window, return_complex=True)
