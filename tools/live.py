"""The verb `live`: decode an LSL stream of sEEG into sound."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_S = argparse.SUPPRESS


def add_parser(subparsers: Any) -> None:
    """Add the verb `live`."""
    parser = subparsers.add_parser(
        "live",
        help="decode an LSL stream of sEEG into sound",
        description="Decode a live LSL stream hop by hop and play it. Research use only. "
        "A value given here wins over the TOML.",
    )
    parser.add_argument("bundle", type=Path, nargs="?", help="bundle folder")
    parser.add_argument("--out", type=Path, default=_S, help="folder of the run, new")
    parser.add_argument("--settings", type=Path, help="TOML; realtime/settings.py lists its keys")
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
    parser.add_argument("--vocoder", default=_S, help="phase or rtisi (default: phase)")
    parser.add_argument(
        "--device", type=_device, default=_S, help="index or part of the name (default: system's)"
    )
    parser.add_argument("--wav", type=Path, default=_S, help="play into this WAV file instead")
    parser.add_argument(
        "--target-ms", type=float, default=_S, help="playout delay (default: 45; covers a burst)"
    )
    parser.set_defaults(run=run)


def _device(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def run(args: argparse.Namespace) -> int:
    """Run the service until its time is over, its stream goes, or a signal comes."""
    from realtime.service import Service, stopped_by_signals

    settings = live_settings(args)
    service = Service(settings, tell=lambda line: print(line, flush=True))
    with stopped_by_signals(service):
        facts = service.run()
    print_run(settings.out, facts)
    return 0


def live_settings(args: argparse.Namespace) -> Any:
    """Settings from TOML and command line.

    Raises
    ------
    SettingsError
        Naming the wrong or missing key.
    """
    from models.toml import read_toml, validated
    from realtime.settings import LiveSettings

    raw = read_toml(args.settings) if args.settings else {}
    given = vars(args)
    plain = ("bundle", "out", "seconds", "unit", "allow_missing", "vocoder")
    raw.update({k: given[k] for k in plain if given.get(k) is not None})
    stream = {"source_id": "source_id", "name": "name", "type": "type", "timeout": "timeout_s"}
    playout = {"device": "device", "wav": "wav", "target_ms": "target_ms"}
    for section, names in (("stream", stream), ("playout", playout)):
        chosen = {key: given[option] for option, key in names.items() if option in given}
        if chosen:
            table = raw.get(section, {})
            raw[section] = {**table, **chosen} if isinstance(table, dict) else table
    if "wav" in given and isinstance(raw["playout"], dict):
        raw["playout"]["sink"] = "wav"
    return validated(LiveSettings, raw, str(args.settings or "the command line"))


def print_run(folder: Path, facts: dict[str, Any]) -> None:
    """Latency of a run as a table, and what it counted."""
    from realtime.latency import summarise, table
    from realtime.runlog import read_run

    run = read_run(folder)
    print(table(summarise(run.hops, run.dac)))
    playout = facts["playout"]
    print(
        f"{facts['hops']} hops, {facts['late_hops']} late, {playout['underruns']} underruns, "
        f"{playout['trims']} trims; look-ahead {run.about['lookahead_ms']:g} ms; "
        f"{facts['lost_samples']} samples lost; "
        f"first hop {facts['first_hop_s']:.1f} s after the process began; "
        f"resident {facts['resident_mb']:.0f} MB"
    )
    print(folder)
