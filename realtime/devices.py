"""Sound devices as PortAudio sees them, and plain words when there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.errors import AudioError

_FILE_INSTEAD = "or write the audio to a WAV file instead"


@dataclass(frozen=True)
class Device:
    """An output device: index and name for settings, host API, channels, own rate in Hz."""

    index: int
    name: str
    host: str
    channels: int
    rate_hz: float
    default: bool


def portaudio() -> Any:
    """The `sounddevice` module.

    Raises
    ------
    AudioError
        If the package or the PortAudio library is missing or does not initialise.
    """
    try:
        import sounddevice
    except (OSError, ImportError) as err:
        raise AudioError(
            f"PortAudio cannot be loaded ({err})",
            todo=f"install it (Debian: apt-get install libportaudio2), {_FILE_INSTEAD}",
        ) from err
    except Exception as err:  # PortAudioError is defined by the module that failed
        raise AudioError(f"PortAudio does not start ({err})", todo=_FILE_INSTEAD) from err
    return sounddevice


def list_outputs() -> list[Device]:
    """All devices with an output, in PortAudio's order; empty if there is none.

    Raises
    ------
    AudioError
        If PortAudio is missing.
    """
    sd = portaudio()
    hosts = sd.query_hostapis()
    chosen = sd.default.device[1]
    default = chosen if chosen >= 0 else _first_default(hosts)
    return [
        Device(
            index=index,
            name=str(info["name"]),
            host=str(hosts[info["hostapi"]]["name"]),
            channels=int(info["max_output_channels"]),
            rate_hz=float(info["default_samplerate"]),
            default=index == default,
        )
        for index, info in enumerate(sd.query_devices())
        if info["max_output_channels"] > 0
    ]


def _first_default(hosts: Any) -> int:
    found = (int(host["default_output_device"]) for host in hosts)
    return next((index for index in found if index >= 0), -1)


def find_output(device: int | str | None) -> tuple[int, Any]:
    """Index and PortAudio's description of an output, by index, by name or the default.

    A name is looked for exactly first, then as a part, without regard to case.

    Raises
    ------
    AudioError
        If PortAudio is missing, or no device or more than one fits.
    """
    outputs = list_outputs()
    if not outputs:
        raise AudioError(
            "there is no sound device with an output",
            todo=f"connect one or start the sound server, {_FILE_INSTEAD}",
        )
    fitting = _fitting(outputs, device)
    if len(fitting) == 1:
        return fitting[0].index, portaudio().query_devices(fitting[0].index)
    asked = "default sound device" if device is None else f"sound device {device!r}"
    names = ", ".join(f"{d.index} {d.name} ({d.host})" for d in fitting or outputs)
    what = "several devices fit" if fitting else "no device fits"
    raise AudioError(f"{asked}: {what}", f"one of: {names}", "see `seegvox devices`")


def _fitting(outputs: list[Device], device: int | str | None) -> list[Device]:
    if device is None:
        return [d for d in outputs if d.default] or outputs[:1]
    if isinstance(device, int):
        return [d for d in outputs if d.index == device]
    exact = [d for d in outputs if d.name == device]
    return exact or [d for d in outputs if device.lower() in f"{d.name} ({d.host})".lower()]


def usable_output(device: int | str | None = None) -> str | None:
    """Why no output can be used, in one line; None if one can."""
    try:
        find_output(device)
    except AudioError as err:
        return str(err)
    return None
