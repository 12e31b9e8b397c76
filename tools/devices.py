"""`seegvox devices`: the sound devices that playout could use."""

from __future__ import annotations

import argparse
from typing import Any

from realtime.devices import Device, list_outputs


def add_parser(subparsers: Any) -> None:
    """Add the verb `devices`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "devices",
        help="list sound devices",
        description="Lists the sound outputs that PortAudio sees; * marks the default. Exit 1 "
        "if there is none.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the outputs; 1 if there is none.

    Raises
    ------
    AudioError
        If PortAudio is missing.
    """
    outputs = list_outputs()
    if not outputs:
        print(
            "There is no sound device with an output. Connect one or start the sound server; "
            "until then audio can be written to a WAV file."
        )
        return 1
    print("  index  rate (Hz)  channels  device")
    for device in outputs:
        print(_line(device))
    return 0


def _line(device: Device) -> str:
    mark = "*" if device.default else " "
    return (
        f"{mark} {device.index:5d}  {device.rate_hz:9.0f}  {device.channels:8d}  "
        f"{device.name} ({device.host})"
    )
