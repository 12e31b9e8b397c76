"""The verb `live`: decode an LSL stream of sEEG into sound."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tools.live_settings import live_settings

_S = argparse.SUPPRESS


def add_parser(subparsers: Any) -> None:
    """Add the verb `live`."""
    parser = subparsers.add_parser(
        "live",
        help="decode an LSL stream of sEEG into sound",
        description="Decode a live LSL stream hop by hop and play it. Research use only. "
        "A value given here wins over the TOML; --print-settings lists every key of it. "
        "Paths in a TOML are relative to the current folder, as here.",
    )
    parser.add_argument(
        "session", type=Path, nargs="?", help="bundle folder, or the session's TOML (session.toml)"
    )
    parser.add_argument("--out", type=Path, default=_S, help="folder of the run, new")
    parser.add_argument("--settings", type=Path, help="TOML beside a bundle folder (default: none)")
    parser.add_argument("--seconds", type=float, default=_S, help="stop after (default: never)")
    parser.add_argument(
        "--source-id", default=_S, help="source id of the stream (default: any of type EEG, sEEG..)"
    )
    parser.add_argument("--name", default=_S, help="name of the stream (default: any)")
    parser.add_argument("--type", default=_S, help="type of the stream (default: EEG, sEEG, iEEG)")
    parser.add_argument("--timeout", type=float, default=_S, help="wait for it, s (default: 5)")
    parser.add_argument("--unit", default=_S, help="unit of contacts (default: as the stream says)")
    parser.add_argument(
        "--allow-missing", nargs="+", default=_S, metavar="CONTACT", help="contacts given up"
    )
    parser.add_argument(
        "--vocoder", default=_S, help="phase, rtisi, neural or a folder of one (default: phase)"
    )
    _add_output(parser)
    parser.set_defaults(run=run)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", type=_device, default=_S, help="index or part of the name (default: system's)"
    )
    parser.add_argument("--wav", type=Path, default=_S, help="play into this WAV file instead")
    parser.add_argument(
        "--target-ms", type=float, default=_S, help="playout delay (default: 45; covers a burst)"
    )
    parser.add_argument(
        "--gain-db", type=float, default=_S, help="gain before the limiter (default: 0)"
    )
    parser.add_argument(
        "--calibration",
        default=_S,
        help="folder of today's statistics, or newest (default: the bundle's own)",
    )
    parser.add_argument(
        "--outlets",
        nargs="*",
        default=_S,
        metavar="STREAM",
        help="LSL outlets: some of mel audio telemetry events, or nothing (default: all)",
    )
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="any key of the TOML, such as playout.headroom_ms=40 (default: none)",
    )
    parser.add_argument(
        "--print-settings",
        action="store_true",
        help="print the resolved settings as a TOML, with what each means, and end",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line on standard output: every event, a status every second; "
        "commands come as lines on standard input (default: for people)",
    )


def _device(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def run(args: argparse.Namespace) -> int:
    """Run the service until its time is over, its stream goes, or a signal comes."""
    settings = live_settings(args)
    if args.print_settings:
        from models.toml import as_toml

        print(as_toml(settings), end="")
        return 0
    from tools.live_session import session

    session(settings, args.json)
    return 0
