"""JSON that any reader takes: NaN and infinity, which JSON has not, become null."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np


def json_line(content: Mapping[str, Any]) -> str:
    """One line of JSON; NumPy's numbers as numbers, what JSON does not know as text."""
    return json.dumps(plain(content), ensure_ascii=False, default=str)


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """`json_line` with its end, as UTF-8; what UTF-8 cannot say is escaped as JSON does it."""
    return json_line(content).encode(errors="backslashreplace") + b"\n"


def plain(value: Any) -> Any:
    """The same of plain numbers, lists and dictionaries; what is not finite is None."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value
