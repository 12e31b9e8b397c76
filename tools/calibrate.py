"""The verb `calibrate`: today's statistics for a bundle, kept beside it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import SettingsError

if TYPE_CHECKING:
    from models.bundle import Bundle
    from realtime.calibration import Calibration, Comparison, Tally


def add_parser(subparsers: Any) -> None:
    """Add the verb `calibrate`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "calibrate",
        help="take today's feature statistics from a minute of signal",
        description="Takes mean and deviation of a bundle's features from a live stream, or from a "
        "recording, and keeps them beside the bundle. `seegvox live --calibration newest` uses "
        "them. The patient should do what the session will be: speak and pause in turn.",
    )
    parser.add_argument("bundle", type=Path, help="bundle folder")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of signal to take (default: 60; at least 10)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of the calibration, new (default: BUNDLE.calibrations/ and the UTC time)",
    )
    parser.add_argument(
        "--estimator",
        choices=("screened", "moments"),
        default="screened",
        help="moments as in training, with artefact seconds left out, or of everything "
        "(default: screened)",
    )
    parser.add_argument(
        "--allow-missing",
        nargs="+",
        default=[],
        metavar="CONTACT",
        help="contacts given up; they keep the bundle's statistics (default: none)",
    )
    parser.add_argument(
        "--unit",
        help="unit of contacts, or for a recording how many microvolts one is (default: as the "
        "stream or the recording says)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (default: text)")
    _add_stream(parser)
    _add_recording(parser)
    parser.set_defaults(run=run)


def _add_stream(parser: argparse.ArgumentParser) -> None:
    stream = parser.add_argument_group("live stream")
    stream.add_argument("--source-id", help="source id (default: any of type EEG, sEEG ..)")
    stream.add_argument("--name", help="name (default: any)")
    stream.add_argument("--type", help="type (default: EEG, sEEG, iEEG or ECoG)")
    stream.add_argument("--timeout", type=float, help="wait for it, s (default: 5)")


def _add_recording(parser: argparse.ArgumentParser) -> None:
    recording = parser.add_argument_group("recording, instead of a stream")
    recording.add_argument("--recording", type=Path, help="file or BIDS folder (default: a stream)")
    recording.add_argument("--start", type=float, help="second to begin at (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Measure, write, and print how far today is from the bundle.

    Raises
    ------
    SeegvoxError
        Whatever is wrong with bundle, signal or folder; nothing is written then.
    """
    from models.bundle import load_bundle
    from realtime.calibration import compare, write_calibration

    _check(args)
    bundle = load_bundle(args.bundle)
    _check_out(args, bundle)
    tally, source = _measure(args, bundle)
    measured = tally.measured(args.estimator)
    names = bundle.front_end().channel_names
    comparison = compare(bundle.statistics, measured.statistics, names, ~measured.kept)
    written = write_calibration(bundle, measured, source, args.out)
    show = as_json if args.json else as_text
    print(show(written, comparison))
    return 0


def _check(args: argparse.Namespace) -> None:
    from realtime.calibration.measure import LEAST_S

    if not args.seconds >= LEAST_S:
        raise SettingsError(
            f"--seconds {args.seconds:g}", f"at least {LEAST_S:g}, better 60", "give more"
        )
    streams = [o for o in ("source_id", "name", "type", "timeout") if vars(args)[o] is not None]
    if args.recording is not None and streams:
        raise SettingsError(
            f"--recording and {', '.join('--' + o.replace('_', '-') for o in streams)}",
            "a recording or a stream",
            "leave one out",
        )
    if args.recording is None and args.start is not None:
        raise SettingsError("--start without --recording", "both, or none", "a stream begins now")
    if args.start is not None and not args.start >= 0:
        raise SettingsError(f"--start {args.start:g}", "0 or more", "correct it")


def _check_out(args: argparse.Namespace, bundle: Bundle) -> None:
    """Before a minute of signal is taken, not after."""
    from models.files import refuse_busy
    from realtime.calibration import folder_of

    out = args.out or folder_of(bundle.path)
    if args.out is not None:
        refuse_busy(args.out)
    there = next(folder for folder in (out, *out.resolve().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise SettingsError(
            f"{there} cannot be written", "a folder for the calibration", "choose another --out"
        )


def _measure(args: argparse.Namespace, bundle: Bundle) -> tuple[Tally, dict[str, Any]]:
    # Here: where liblsl is missing the other verbs still start.
    from realtime.calibration import measure_recording, measure_stream

    if args.recording is not None:
        from realtime.recordings import read_recording

        missing = set(args.allow_missing)
        wanted = [contact for contact in bundle.spec.contacts if contact not in missing]
        read = read_recording(args.recording, unit=_unit(args.unit), contacts=wanted)
        start = args.start or 0.0
        return measure_recording(bundle, read, args.seconds, start, args.allow_missing)

    from models.toml import validated
    from realtime.lsl_config import quieten
    from realtime.streams import StreamQuery

    quieten()
    given = {"source_id": args.source_id, "name": args.name, "type": args.type}
    given["timeout_s"] = args.timeout
    chosen = {key: value for key, value in given.items() if value is not None}
    query = validated(StreamQuery, chosen, "the command line")
    tell = partial(print, file=sys.stderr, flush=True)
    return measure_stream(bundle, query, args.seconds, args.unit, args.allow_missing, tell)


def _unit(text: str | None) -> str | float | None:
    """A unit's name, or how many microvolts one is."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def as_text(written: Calibration, comparison: Comparison) -> str:
    """What was measured, for reading."""
    about = written.about
    gaps = f", {about.interruptions} gaps" if about.interruptions else ""
    lines = [f"{about.seconds:.1f} s of signal{gaps}"]
    masked = [f"{name} {seconds:.1f} s" for name, seconds in about.masked_s.items()]
    lines.append(f"masked: {_listed(masked)}")
    if about.mostly_masked:
        lines.append(f"masked most of the time: {', '.join(about.mostly_masked)}")
    if about.kept_channels:
        kept = f"{len(about.kept_channels)} channels: {', '.join(about.kept_channels)}"
        lines.append(f"keep the bundle's statistics: {kept}")
    if about.quiet_channels:
        lines.append(f"of these far quieter than in training: {', '.join(about.quiet_channels)}")
    artefacts = sorted(about.artefact_s.items(), key=lambda item: -item[1])
    shown = [f"{name} {seconds:.1f} s" for name, seconds in artefacts]
    lines.append(f"artefacts left out: {_listed(shown)}")
    return "\n".join([*lines, *comparison.lines(), str(written.path)])


def as_json(written: Calibration, comparison: Comparison) -> str:
    """What was measured, for programs."""
    facts = {
        "path": str(written.path),
        "sha256": written.hash,
        **written.about.model_dump(mode="json"),
        "mostly_masked": written.about.mostly_masked,
        "comparison": asdict(comparison),
    }
    return json.dumps(facts, indent=2)


def _listed(items: list[str], most: int = 8) -> str:
    rest = f", ... ({len(items)} in all)" if len(items) > most else ""
    return ", ".join(items[:most]) + rest if items else "none"
