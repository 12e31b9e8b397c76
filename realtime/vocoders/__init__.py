"""Streaming vocoders without weights: mel frames in, 240 audio samples at 16 kHz per frame out.

    phase   single-pass spectrum inversion, no look-ahead          latency  7.5 ms   (default)
    rtisi   RTISI-LA, one frame of look-ahead, iterated            latency 22.5 ms

What `latency` means is said once, in `realtime.vocoders.framewise`.
"""

from __future__ import annotations

from collections.abc import Callable

from models.errors import SettingsError
from realtime.vocoders.framewise import FramewiseVocoder
from realtime.vocoders.gate import GateSettings
from realtime.vocoders.phase import PhaseVocoder
from realtime.vocoders.rtisi import RtisiVocoder

__all__ = [
    "VOCODERS",
    "FramewiseVocoder",
    "GateSettings",
    "PhaseVocoder",
    "RtisiVocoder",
    "make_vocoder",
]

VOCODERS: dict[str, Callable[[GateSettings], FramewiseVocoder]] = {
    "phase": PhaseVocoder,
    "rtisi": RtisiVocoder,
}


def make_vocoder(name: str = "phase", gate: GateSettings | None = None) -> FramewiseVocoder:
    """Build a weight-free streaming vocoder by name.

    Parameters
    ----------
    name : `phase` or `rtisi`.
    gate : settings of the noise gate; its defaults if None.

    Raises
    ------
    SettingsError
        If there is no vocoder of that name.
    """
    if name not in VOCODERS:
        raise SettingsError(
            f"there is no streaming vocoder '{name}'",
            "one of " + ", ".join(f"'{known}'" for known in VOCODERS),
            "correct the vocoder's name in the settings or on the command line",
        )
    return VOCODERS[name](gate or GateSettings())
