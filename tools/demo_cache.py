"""Markers that say what a cached step was made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def cached(marker: Path, key: dict[str, Any]) -> bool:
    """Whether a step's marker says that it was made from this very key."""
    try:
        return bool(json.loads(marker.read_text()) == json.loads(json.dumps(key, default=str)))
    except (OSError, ValueError):
        return False


def remember(marker: Path, key: dict[str, Any]) -> None:
    """Write a step's marker, last of all."""
    marker.write_text(json.dumps(key, default=str, indent=2))
