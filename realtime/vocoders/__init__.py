"""Streaming vocoders: mel frames in, 240 audio samples at 16 kHz per frame out.

    phase   single-pass spectrum inversion, no look-ahead          latency  7.5 ms   (default)
    rtisi   RTISI-LA, one frame of look-ahead, iterated            latency 22.5 ms
    neural  a trained causal network mends the single pass         latency 15   ms   (a folder)

What `latency` means is said once, in `realtime.vocoders.framewise`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.errors import SettingsError
from models.vocoder import vocoder_beside
from realtime.vocoders.framewise import FramewiseVocoder
from realtime.vocoders.gate import GateSettings
from realtime.vocoders.neural import NeuralVocoder, neural_vocoder
from realtime.vocoders.phase import PhaseVocoder
from realtime.vocoders.rtisi import RtisiVocoder

__all__ = [
    "NEURAL",
    "VOCODERS",
    "FramewiseVocoder",
    "GateSettings",
    "NeuralVocoder",
    "PhaseVocoder",
    "RtisiVocoder",
    "make_vocoder",
    "vocoder_for",
]

NEURAL = "neural"
VOCODERS: dict[str, Callable[[GateSettings], FramewiseVocoder]] = {
    "phase": PhaseVocoder,
    "rtisi": RtisiVocoder,
}
"""Those that need no weights."""


def make_vocoder(name: str = "phase", gate: GateSettings | None = None) -> FramewiseVocoder:
    """Build a streaming vocoder by name, a neural one by its folder.

    Parameters
    ----------
    name : `phase`, `rtisi`, or the folder of a neural vocoder.
    gate : settings of the noise gate; its defaults if None.

    Raises
    ------
    SettingsError
        If there is no vocoder of that name.
    BundleError
        If the folder is damaged or no vocoder.
    """
    if name in VOCODERS:
        return VOCODERS[name](gate or GateSettings())
    if Path(name).is_dir():
        return neural_vocoder(Path(name), gate)
    raise SettingsError(
        f"there is no streaming vocoder '{name}'",
        "one of "
        + ", ".join(f"'{known}'" for known in VOCODERS)
        + ", or the folder of a neural one",
        "correct the vocoder's name in the settings or on the command line",
    )


def vocoder_for(name: str, bundle: Path) -> FramewiseVocoder:
    """As `make_vocoder`; `neural` is the vocoder that the bundle carries or that lies beside it.

    Raises
    ------
    SettingsError, BundleError
        As `make_vocoder`; also if the bundle carries none.
    """
    return make_vocoder(str(vocoder_beside(bundle)) if name == NEURAL else name)
