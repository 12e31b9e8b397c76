"""Markers that say what a finished step was made from, so that it is reused or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.files import new_file


def cached(marker: Path, key: dict[str, Any]) -> bool:
    """Whether a step's marker says that it was made from this very key."""
    try:
        return bool(json.loads(marker.read_text()) == json.loads(_text(key)))
    except (OSError, ValueError):
        return False


def remember(marker: Path, key: dict[str, Any]) -> None:
    """Write a step's marker, last of all."""
    with new_file(marker, overwrite=True) as partial:
        partial.write_text(_text(key))


def _text(key: dict[str, Any]) -> str:
    return json.dumps(key, default=str, indent=2, sort_keys=True)
