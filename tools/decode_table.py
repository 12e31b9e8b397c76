"""What came of each file: one table, and what is worth a line of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COLUMNS = ("file", "length", "hops", "speed", "masked", "bridged", "cold", "identical")
_SAME = {True: "yes", False: "NO", None: "-"}

Row = dict[str, Any]


def differs(row: Row) -> bool:
    """Whether a session came out otherwise with nothing changed: same machine, versions, all there.

    On other versions or another machine a difference is measured, and no fault.
    """
    lacking = any(note.startswith("the record lacks") for note in row.get("notes", ()))
    return row.get("identical") is False and not row.get("versions_differ") and not lacking


def table(rows: Sequence[Row], alone: bool) -> str:
    """The table, then notes and errors; of a file alone, where its folder is."""
    cells = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(_COLUMNS))]
    lines = []
    for row, content in zip([None, *rows], cells, strict=True):
        padded = [cell.ljust(width) for cell, width in zip(content, widths, strict=True)]
        error = f"  error: {row['error']}" if row and "error" in row else ""
        lines.append("  ".join(padded).rstrip() + error)
    told = [line for row in rows for line in _told(row, alone)]
    failed = sum("error" in row for row in rows)
    if not alone:
        told.append(f"{len(rows)} files, {failed} failed")
    return "\n".join([*lines, *told])


def _cells(row: Row) -> tuple[str, ...]:
    name = Path(row["file"]).name
    if "error" in row:
        return (name, *["-"] * (len(_COLUMNS) - 1))
    speed = row["times_real_time"]
    return (
        name,
        _duration(row["decoded_s"]),
        str(row["hops"]),
        f"{speed:.1f}x" if speed else "-",
        str(row["masked_hops"]),
        str(row["bridged_samples"]),
        str(row["cold_starts"]),
        _SAME[row["identical"]],
    )


def _told(row: Row, alone: bool) -> list[str]:
    if "error" in row:
        return []
    before = "" if alone else f"{Path(row['file']).name}: "
    lines = [f"{before}{note}" for note in row["notes"]]
    lines += [f"{before}{line}" for line in _comparison(row)]
    if alone:
        lines.append(row.get("report") or row["out"])
    return lines


def _comparison(row: Row) -> list[str]:
    """What there is to say of a session that did not come out as recorded."""
    found = row.get("comparison")
    if not found or row["identical"]:
        return []
    lines = []
    if row["changed"]:
        lines.append(f"changed: {', '.join(row['changed'])}")
    lines.append(
        f"{found['differing_hops']} of {found['compared_hops']} hops differ from the session as "
        f"recorded, mel by up to {found['max_abs_mel']:.3g} nepers, audio by up to "
        f"{found['max_abs_audio']:.3g} of full scale"
    )
    counts = {what: found[f"{what}_hops"] for what in ("missing", "extra")}
    lines += [f"{count} hops are {what}" for what, count in counts.items() if count]
    if row["versions_differ"]:
        named = [f"{k} {then} -> {now}" for k, (then, now) in row["versions_differ"].items()]
        lines.append(f"recorded with other versions or on another machine: {', '.join(named)}")
    return lines


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}"
