"""The verb `streams`: what can be seen on the network through LSL."""

from __future__ import annotations

import argparse
import json
from typing import Any

_COLUMNS = ("name", "type", "channels", "rate_hz", "format", "units", "source_id", "host")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `streams`."""
    parser = subparsers.add_parser(
        "streams",
        help="list the LSL streams on the network",
        description="List the LSL streams that can be seen from here, with what they say.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds to listen")
    parser.add_argument("--json", action="store_true", help="print JSON, with labels and uid")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List the streams; returns 0, or 1 when there is none."""
    rows = list_rows(args.timeout)
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        _print_table([_COLUMNS, *([_text(row[key]) for key in _COLUMNS] for row in rows)])
    else:
        print(f"no LSL stream answered within {args.timeout:g} s; is the amplifier streaming?")
    return 0 if rows else 1


def list_rows(timeout_s: float) -> list[dict[str, Any]]:
    """Return one dictionary per stream; `units` and `labels` are null where it did not answer."""
    # Here: where liblsl is missing the other verbs still start.
    from realtime.lsl_config import quieten
    from realtime.streams import list_streams

    quieten()

    return [_row(info) for info in list_streams(timeout_s)]


def _row(info: Any) -> dict[str, Any]:
    from realtime.streams import describe, read_info

    full = read_info(info, timeout_s=2.0)
    said = describe(full if full is not None else info)
    return {
        "name": said.name,
        "type": said.type,
        "channels": said.channels,
        "rate_hz": float(said.rate),
        "format": said.dtype,
        "units": sorted(set(said.units) - {""}) if full is not None else None,
        "source_id": said.source_id,
        "host": said.hostname,
        "uid": said.uid,
        "manufacturer": said.manufacturer if full is not None else None,
        "labels": list(said.labels) if full is not None else None,
    }


def _text(value: Any) -> str:
    if value is None:
        return "?"
    if isinstance(value, list):
        return "/".join(value) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value) or "-"


def _print_table(rows: list[Any]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
