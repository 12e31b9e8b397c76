"""The verb `decode`: a session or a recording again, offline, as the live service would."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import SettingsError

if TYPE_CHECKING:
    from tools.decode_batch import Job


def add_parser(subparsers: Any) -> None:
    """Add the verb `decode`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "decode",
        help="decode a session or a recording again, offline",
        description="Decodes offline, on a virtual clock, by the very code of `seegvox live`. From "
        "a session's own samples and arrival it gives the same bits of mel and audio, and says "
        "so. From any other recording (XDF, NWB, EDF, BrainVision, ...) it gives what would have "
        "been decoded had it arrived in bursts. Each DIR is a session (`seegvox session show DIR`) "
        "with audio.wav, events.jsonl and summary.json. Exit 1 if one of several files failed, or "
        "a session came out otherwise on the versions and machine that recorded it.",
    )
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="sessions, recordings, or folders to search for both",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder, new; of several files, one folder each"
    )
    parser.add_argument(
        "--bundle", type=Path, help="bundle folder (default: the session's own, by its hash)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every summary as JSON (default: none)"
    )
    parser.add_argument(
        "--jobs", type=int, help="files decoded at the same time (default: one per core)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what is there (default: refuse)"
    )
    _add_what_if(parser)
    _add_recording(parser)
    parser.set_defaults(run=run)


def _add_what_if(parser: argparse.ArgumentParser) -> None:
    what_if = parser.add_argument_group("what if")
    what_if.add_argument("--vocoder", help="another vocoder (default: the session's, else phase)")
    what_if.add_argument(
        "--calibration",
        help="folder, newest, or none for the bundle's statistics (default: the session's)",
    )
    what_if.add_argument(
        "--mask",
        nargs="+",
        default=[],
        metavar="CONTACT",
        help="contacts not to use (default: all)",
    )
    what_if.add_argument(
        "--report",
        action="store_true",
        help="write DIR/report.html: beside the session as recorded, and scored against the "
        "microphone if there is one (default: none)",
    )
    what_if.add_argument(
        "--audio", type=Path, help="the microphone, for the report (default: the recording's own)"
    )
    what_if.add_argument(
        "--audio-offset",
        type=float,
        default=0.0,
        metavar="S",
        help="its first sample, counted from the first of sEEG, s (default: 0)",
    )


def _add_recording(parser: argparse.ArgumentParser) -> None:
    recording = parser.add_argument_group("recordings (a session knows all this)")
    recording.add_argument(
        "--burst", type=int, metavar="N", help="samples that arrive at once (default: 16)"
    )
    recording.add_argument(
        "--stream", metavar="NAME", help="sEEG stream of an XDF file (default: the only one)"
    )
    recording.add_argument(
        "--unit", help="unit, or how many microvolts one is (default: as the file says)"
    )
    recording.add_argument(
        "--allow-missing", nargs="+", default=[], metavar="CONTACT", help="contacts given up"
    )


def run(args: argparse.Namespace) -> int:
    """Decode; 0 if all went well.

    Raises
    ------
    SeegvoxError
        If options do not go together, or the only file cannot be decoded.
    """
    from models.files import new_file
    from tools.decode_batch import run_batch, run_one
    from tools.decode_files import found_files
    from tools.decode_table import differs, table

    if args.jobs is not None and args.jobs < 1:
        raise SettingsError(f"--jobs {args.jobs}", "1 or more", "leave it out for one per core")
    files, alone = found_files(args.files, args.out)
    jobs = [_job(args, file, out) for file, out in files]
    _check(args, len(jobs))
    if alone:
        rows = [run_one(jobs[0])]
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        rows = run_batch(jobs, min(args.jobs or cores, len(jobs)))
    print(table(rows, alone))
    if args.json is not None:
        from realtime.plain import plain

        failed = sum("error" in row for row in rows)
        text = json.dumps(plain({"files": rows, "failed": failed}), indent=1, default=str)
        with new_file(args.json, args.overwrite) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
    return int(any("error" in row or differs(row) for row in rows))


def _job(args: argparse.Namespace, file: Path, out: Path) -> Job:
    from realtime.redecode.plan import Request
    from tools.decode_batch import Job

    request = Request(
        file=file,
        out=out,
        bundle=args.bundle,
        vocoder=args.vocoder,
        calibration=args.calibration,
        mask=tuple(args.mask),
        allow_missing=tuple(args.allow_missing),
        unit=_unit(args.unit),
        stream=args.stream,
        burst=args.burst,
        overwrite=args.overwrite,
    )
    return Job(request, args.report, args.audio, args.audio_offset)


def _check(args: argparse.Namespace, count: int) -> None:
    from models.files import refuse_busy

    if args.audio is not None and not args.report:
        raise SettingsError("--audio without --report", "both", "audio is only for the report")
    if args.audio is not None and count > 1:
        raise SettingsError(f"--audio for {count} files", "one", "decode them one by one")
    if args.json is not None:
        refuse_busy(args.json, args.overwrite)


def _unit(text: str | None) -> str | float | None:
    """A unit's name, or how many microvolts one is."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
