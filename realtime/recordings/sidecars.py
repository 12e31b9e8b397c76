"""The BIDS files beside a recording: tables of channels and events, the settings of the amplifier.

BIDS: a sidecar may stand in a folder above, with fewer entities in its name; the nearest counts.
"""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from models.errors import RecordingError

_RATE_TOLERANCE = 1e-3


def sidecar(file: Path, kind: str, suffix: str = ".tsv") -> Path:
    """`X_channels.tsv` of `X_ieeg.edf` or `X.edf`, here or above; here if it is nowhere."""
    stem = file.stem.removesuffix("_ieeg")
    beside = file.with_name(f"{stem}_{kind}{suffix}")
    folder, entities = file.parent, set(stem.split("_"))
    while not beside.exists() and folder.name.startswith(("ieeg", "sub-", "ses-")):
        folder = folder.parent
        for found in sorted(folder.glob(f"*_{kind}{suffix}")):
            if set(found.name.split("_")[:-1]) <= entities:
                return found
    return beside


def table(file: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table; a byte-order mark is skipped; no file gives no rows.

    Raises
    ------
    RecordingError
        If it is not UTF-8.
    """
    if not file.exists():
        return []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return list(csv.DictReader(lines, delimiter="\t"))
    except UnicodeDecodeError as err:
        raise RecordingError(f"{file} is not UTF-8 ({err.reason})", "a UTF-8 table") from err


def channels_of(file: Path) -> dict[str, dict[str, str]]:
    """Rows of channels.tsv by the name of the channel; empty without the table.

    Raises
    ------
    RecordingError
        If a name stands there twice.
    """
    listing = sidecar(file, "channels")
    rows = {name_of(row): row for row in table(listing)}
    names = [name_of(row) for row in table(listing)]
    if len(rows) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise RecordingError(
            f"{listing} lists {', '.join(twice)} more than once", "every channel once"
        )
    return rows


def name_of(row: dict[str, str]) -> str:
    """The first column, which BIDS reserves for the name."""
    return (next(iter(row.values())) or "").strip()


def cell(row: dict[str, str], column: str) -> str:
    """A cell without blanks; empty for `n/a`."""
    text = (row.get(column) or "").strip()
    return "" if text.casefold() == "n/a" else text


def marked_bad(file: Path) -> set[str]:
    """Channels whose `status` is bad in channels.tsv."""
    rows = table(sidecar(file, "channels"))
    return {name_of(row) for row in rows if cell(row, "status").casefold() == "bad"}


def amplifier(file: Path) -> dict[str, Any]:
    """What `*_ieeg.json` says; empty without it.

    Raises
    ------
    RecordingError
        If it is not JSON.
    """
    settings = sidecar(file, "ieeg", ".json")
    if not settings.exists():
        return {}
    try:
        said = json.loads(settings.read_text(encoding="utf-8-sig"))
    except ValueError as err:
        raise RecordingError(f"{settings} cannot be read ({err})", "JSON") from err
    return said if isinstance(said, dict) else {}


def line_hz(said: dict[str, Any]) -> float | None:
    """`PowerLineFrequency`; BIDS writes `n/a` where it is not known."""
    value = said.get("PowerLineFrequency")
    return float(value) if isinstance(value, int | float) and value > 0 else None


def check_rate(file: Path, fs: Fraction, *, measured: bool) -> list[str]:
    """Compare the rate of the samples with what the sidecars state.

    Parameters
    ----------
    measured : whether `fs` comes from timestamps, which know better; else one of two claims is
        wrong, and time with it.

    Returns
    -------
    Notes on sidecars that are wrong.

    Raises
    ------
    RecordingError
        If they differ by more than 0.1 %, and the rate was not measured.
    """
    said = amplifier(file).get("SamplingFrequency")
    stated: list[tuple[Path, Any]] = [(sidecar(file, "ieeg", ".json"), said)]
    listing = sidecar(file, "channels")
    stated += [(listing, _number(cell(row, "sampling_frequency"))) for row in table(listing)]
    notes: dict[str, None] = {}
    for source, rate in stated:
        if not isinstance(rate, int | float) or abs(rate / float(fs) - 1) <= _RATE_TOLERANCE:
            continue
        found = f"{file.name} is sampled at {float(fs):g} Hz, {source.name} says {rate:g} Hz"
        if not measured:
            raise RecordingError(found, "the same rate in both", "correct whichever is wrong")
        notes[f"{found}; the timestamps were followed"] = None
    return list(notes)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
