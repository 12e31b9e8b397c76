"""Every vocoder as one kind of thing: whole mel frames in, aligned sound out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import SettingsError
from models.mel import BANDS, LOG_FLOOR, RATE, VOCODER_HOP, VOCODER_RATE
from models.streaming import Floats
from realtime.vocoders import NEURAL, VOCODERS, make_vocoder
from training.vocoders.rendering import Progress, RenderSettings

WAVEGLOW = "waveglow"


@dataclass(frozen=True)
class Synthesis:
    """A vocoder; `lookahead_ms` is None where it needs the whole recording.

    `run` takes `(hops, 80)` and gives `(n,)` float32 at `rate_hz`, aligned with the frames.
    """

    name: str
    rate_hz: int
    lookahead_ms: float | None
    run: Callable[[Floats], Floats]


def streaming_synthesis(name: str) -> Synthesis:
    """A streaming vocoder by name or folder, its delay taken off.

    Raises
    ------
    SettingsError
        If there is none of that name.
    """
    vocoder = make_vocoder(name)
    late = int(vocoder.latency * VOCODER_RATE)
    flush = np.full((-(-late // VOCODER_HOP), BANDS), LOG_FLOOR, np.float32)

    def run(mel: Floats) -> Floats:
        vocoder.reset()
        sound = vocoder.step(np.concatenate([mel, flush]))
        return sound[late : late + len(mel) * VOCODER_HOP]

    told = vocoder.facts["name"]
    return Synthesis(told, VOCODER_RATE, 1e3 * float(vocoder.latency), run)


def waveglow_synthesis(
    path: Path, settings: RenderSettings, progress: Progress = lambda seconds: None
) -> Synthesis:
    """A converted WaveGlow.

    Raises
    ------
    CheckpointError
        If it cannot be loaded.
    SettingsError
        If it was made for other mel frames.
    """
    # Torch is loaded for it alone.
    from training.vocoders.waveglow_file import load_waveglow
    from training.vocoders.waveglow_render import check_mels, render

    network = load_waveglow(path)
    check_mels(network)
    return Synthesis(WAVEGLOW, RATE, None, lambda mel: render(network, mel, settings, progress))


def make_synthesis(
    name: str,
    neural: Path | None = None,
    waveglow: Path | None = None,
    settings: RenderSettings | None = None,
    progress: Progress = lambda seconds: None,
) -> Synthesis:
    """Any vocoder by its name.

    Parameters
    ----------
    neural : folder of the neural vocoder.
    waveglow : the converted checkpoint.

    Raises
    ------
    SettingsError
        If it needs a file that is not given, or there is none of that name.
    """
    if name == WAVEGLOW:
        if waveglow is None:
            raise SettingsError(
                "waveglow without a checkpoint",
                "--waveglow FILE, which `seegvox convert-waveglow` wrote",
                "download NVIDIA's and convert it, or train one",
            )
        return waveglow_synthesis(waveglow, settings or RenderSettings(), progress)
    if name == NEURAL:
        if neural is None:
            raise SettingsError(
                "neural without a vocoder",
                "--neural FOLDER, which `seegvox train-vocoder` wrote",
                "train one",
            )
        return streaming_synthesis(str(neural))
    if name not in VOCODERS:
        known = (*VOCODERS, NEURAL, WAVEGLOW)
        raise SettingsError(f"there is no vocoder '{name}'", "one of " + ", ".join(known))
    return streaming_synthesis(name)
