"""What a BrainVision header promises about its data file, and MNE does not check."""

from __future__ import annotations

import re
from pathlib import Path

from models.errors import RecordingError

_BYTES = {"INT_16": 2, "UINT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4, "IEEE_FLOAT_64": 8}


def check_complete(header: Path) -> list[str]:
    """Compare the size of the data file with the header; notes on what was left out.

    A last sample that lacks some contacts is left out by the reader, which is right where the
    samples follow each other; where the contacts follow each other it would shift all but the
    first.

    Raises
    ------
    RecordingError
        If the data file is missing, or is cut and holds one contact after the other.
    """
    said = _settings(header)
    data = _named(header, "datafile")
    if not data.is_file():
        raise RecordingError(
            f"{header} names the data file {data.name!r}, which is not there",
            "the data file beside the header",
            "do not rename BrainVision files: the header names the others",
        )
    width = _BYTES.get(said.get("binaryformat", ""), 0) * int(said.get("numberofchannels", 0))
    if width == 0:
        return []  # text, or incomplete: MNE says what is wrong
    samples, rest = divmod(data.stat().st_size, width)
    promised = int(said.get("datapoints", 0) or 0)
    vectorized = said.get("dataorientation", "").upper() == "VECTORIZED"
    if vectorized and (rest or samples < promised):
        raise RecordingError(
            f"{data} is truncated: {data.stat().st_size} bytes are no whole number of samples, or "
            f"fewer than the {promised} that were promised",
            "all samples of every contact, one contact after the other",
            "copy it again",
        )
    notes = []
    if rest:
        notes.append(f"the last sample of {data.name} lacks some contacts; it was left out")
    if samples < promised:
        notes.append(f"{data.name} is truncated after {samples} of {promised} samples")
    return notes


def files_of(header: Path) -> list[Path]:
    """The data file and, if there is one, the marker file that the header names."""
    named = (_named(header, key) for key in ("datafile", "markerfile"))
    return [path for path in named if path.is_file()]


def labels_of(header: Path) -> list[str]:
    """Names of the channels in the header; MNE trips over names that are there twice."""
    section = _text(header).partition("[Channel Infos]")[2].partition("\n[")[0]
    return re.findall(r"^Ch\d+=([^,]*)", section, re.MULTILINE)


def _named(header: Path, key: str) -> Path:
    """A file that the header names; the header's folder if it names none."""
    return header.parent / _settings(header).get(key, "").replace("$b", header.stem)


def _text(header: Path) -> str:
    return header.read_bytes().decode("utf-8-sig", "replace")


def _settings(header: Path) -> dict[str, str]:
    """Keys in lower case; comments and the lists of channels do not matter here."""
    pairs = re.findall(r"^(\w+)=(.*?)\s*$", _text(header), re.MULTILINE)
    return {key.lower(): value for key, value in pairs}
