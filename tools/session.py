"""The verb `session`: list the records of sessions, show one, export one."""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

_COLUMNS = ("session", "when", "length", "hops", "late", "faults", "ended")
_NO_XDF = (
    "There is no export to XDF, for want of a maintained writer (pyxdf only reads): to have a "
    "session as XDF, record its LSL outlets and the amplifier with LabRecorder."
)
FAULTS = frozenset(
    {
        "lost",
        "refused",
        "gap",
        "clock jump",
        "skipped",
        "not finite",
        "sound lost",
        "record overrun",
        "record failed",
        "decoder died",
    }
)
"""Events that are counted as faults in the list; `show` counts every kind."""


def add_parser(subparsers: Any) -> None:
    """Add the verb `session`."""
    parser = subparsers.add_parser(
        "session",
        help="list, show and export the records of live sessions",
        description="What `seegvox live` recorded: also while it runs, and after a crash. "
        "Each of the three states its defaults.",
    )
    verbs = parser.add_subparsers(dest="session_verb", metavar="WHAT", required=True)
    one = verbs.add_parser("list", help="the sessions of a folder, oldest first")
    one.add_argument("folder", type=Path, help="folder with sessions in it")
    one.set_defaults(run=_list)
    one = verbs.add_parser("show", help="events, counts, latency and stream of one session")
    one.add_argument("folder", type=Path, help="folder of the session")
    one.add_argument("--events", type=int, default=40, help="last events shown (default: 40)")
    one.set_defaults(run=_show)
    one = verbs.add_parser("export", help="one session as NWB or WAV", epilog=_NO_XDF)
    one.add_argument("folder", type=Path, help="folder of the session")
    one.add_argument("--nwb", type=Path, metavar="FILE", help="everything, as one NWB file")
    one.add_argument(
        "--wav", type=Path, metavar="FOLDER", help="the audio: handed.wav and played.wav"
    )
    one.add_argument(
        "--subject", default="unknown", help="pseudonym for the NWB file (default: unknown)"
    )
    one.add_argument(
        "--age", default="P0D/", help="the subject's, ISO 8601, as P34Y (default: P0D/, unknown)"
    )
    one.add_argument(
        "--overwrite", action="store_true", help="replace what is there (default: refuse)"
    )
    one.set_defaults(run=_export)


# --- list ---------------------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> int:
    rows = [_row(folder) for folder in sessions(args.folder)]
    table = [_COLUMNS, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(_COLUMNS))]
    for row in table:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    return 0


def sessions(folder: Path) -> list[Path]:
    """Folders of the sessions directly in `folder`, oldest first.

    Raises
    ------
    RecordingError
        If there is none.
    """
    from models.errors import RecordingError
    from realtime.record.layout import INDEX

    if not folder.is_dir():
        raise RecordingError(f"{folder} is no folder", "a folder with sessions in it")
    found = [path.parent for path in folder.glob(f"*/{INDEX}")]
    if not found:
        its_own = (folder / INDEX).exists()
        raise RecordingError(
            f"{folder} {'is a session itself' if its_own else 'holds no session'}",
            f"folders with a {INDEX}",
            "use `seegvox session show`" if its_own else "give the folder above a session's --out",
        )
    return sorted(found, key=_started)


def _started(folder: Path) -> float:
    from models.errors import RecordingError
    from realtime.record.reading import open_session

    try:
        with open_session(folder) as file:
            return float(file.attrs["started_utc"])
    except RecordingError:
        # It is listed with what is wrong with it.
        return 0.0


def _row(folder: Path) -> tuple[str, ...]:
    from models.errors import RecordingError
    from models.hops import HOP
    from realtime.record.reading import ending, json_lines, open_session

    try:
        with open_session(folder) as file:
            late = file["hops/times"].fields("late")[()]
            kinds = Counter(event["event"] for event in json_lines(file["events"]))
            return (
                folder.name,
                _when(float(file.attrs["started_utc"])),
                _duration(len(late) * float(HOP)),
                str(len(late)),
                str(int(late.sum())),
                str(sum(kinds[kind] for kind in FAULTS)),
                ending(file.attrs),
            )
    except RecordingError as err:
        return (folder.name, "?", "?", "?", "?", "?", err.found)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}"


# --- show ---------------------------------------------------------------------------------------


def _show(args: argparse.Namespace) -> int:
    from realtime.latency import summarise, table
    from realtime.record.reading import ending, read_run

    run = read_run(args.folder)
    facts = run.facts
    print(f"{args.folder}, {_when(facts['started_utc'])}, {ending(facts)}")
    _print_stream(run)
    print("\n".join(_counts(run)))
    if len(run.hops):
        print("\n" + table(summarise(run.hops, run.dac)))
    _print_events(run.events, args.events, float(facts["started_lsl_s"]))
    return 0


def _print_stream(run: Any) -> None:
    said = run.about.get("stream") or {}
    shafts = f"{len(run.contacts)} contacts at {run.facts['fs_hz']:g} Hz"
    print(
        f"stream '{said.get('name', '?')}' (source_id {said.get('source_id') or 'none'}), {shafts}"
    )
    print(f"bundle {str(run.about.get('bundle_sha256', 'unknown'))[:16]}")


def _counts(run: Any) -> list[str]:
    hops = run.hops
    lines = [
        f"{len(hops)} hops: {int(hops['late'].sum())} late, {int(hops['dropped'].sum())} dropped, "
        f"{int((~hops['finite']).sum())} not finite; {int(hops['bridged'].sum())} samples bridged; "
        f"at most {int(hops['masked'].max(initial=0))} contacts masked",
        f"{len(run.markers)} markers from {len(run.marker_streams)} streams",
    ]
    if run.facts["dropped_records"]:
        lines.append(
            f"the record lacks {run.facts['dropped_records']} entries with "
            f"{run.facts['dropped_samples']} samples (overrun)"
        )
    return lines


def _print_events(events: list[dict[str, Any]], most: int, start_s: float) -> None:
    kinds = Counter(event["event"] for event in events)
    print("\nevents: " + (", ".join(f"{kind} {n}" for kind, n in kinds.items()) or "none"))
    for event in events[-most:] if most > 0 else []:
        rest = {k: v for k, v in event.items() if k not in ("time", "event")}
        details = ", ".join(f"{key} {value}" for key, value in rest.items())
        print(f"  {event['time'] - start_s:10.3f} s  {event['event']}  {details}".rstrip())


# --- export -------------------------------------------------------------------------------------


def _export(args: argparse.Namespace) -> int:
    from models.errors import SettingsError

    if args.nwb is None and args.wav is None:
        raise SettingsError("no format was given", "--nwb FILE or --wav FOLDER", _NO_XDF)
    if args.nwb is not None:
        from realtime.record.nwb import export_nwb

        print(export_nwb(args.folder, args.nwb, args.overwrite, args.subject, args.age))
    if args.wav is not None:
        from realtime.record.wav import export_wav

        print("\n".join(map(str, export_wav(args.folder, args.wav, args.overwrite))))
    return 0
