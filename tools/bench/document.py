"""What a benchmark leaves: one JSON document with a schema version, every value kept.

schema, schema_version    what this is
kind                      step, hop, live, scale, vocoder, transport, train, soak
made_utc, seed, asked     when, and with which options
bundle                    path, SHA-256, weights; null where there is none
environment               machine, versions, commit, priorities, load before and after
figures                   by name: `part`, `what`, percentiles in ms, `count`, and `rounds_us`
late                      by name: late hops of each round, and hops of each round
ratios, path, notes       by kind

A figure's `part` says what it is made of: `compute`, `transport`, `buffer` (waiting that is set),
`algorithmic`, `yardstick`, `machine`, or `total`. Its values stay in their rounds, which `bench
compare` needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.errors import SettingsError
from tools.bench.rounds import Times

SCHEMA, SCHEMA_VERSION = "seegvox benchmark", 1
PARTS = ("compute", "transport", "buffer", "algorithmic", "yardstick", "machine", "total")

Document = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One quantity: rounds of times in ms, what they are in words, and which part of the path."""

    rounds: Sequence[Times]
    what: str
    part: str

    def as_json(self) -> dict[str, Any]:
        """Plain values; microseconds to a tenth."""
        from realtime.latency import summary_ms

        finite = [values[np.isfinite(values)] for values in self.rounds]
        together = np.concatenate(finite) if finite else np.zeros(0)
        return {
            "part": self.part,
            "what": self.what,
            **{name: round(value, 5) for name, value in summary_ms(together).items()},
            "count": len(together),
            "rounds_us": [np.round(1e3 * values, 1).tolist() for values in finite],
        }


def document(
    kind: str,
    asked: Mapping[str, Any],
    figures: Mapping[str, Figure],
    environment: Mapping[str, Any],
    bundle: Bundle | None = None,
    **more: Any,
) -> Document:
    """A document; what it has beyond the common is given by name."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "made_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "asked": plain(asked),
        "bundle": None
        if bundle is None
        else {
            "path": str(bundle.path),
            "sha256": bundle.hash,
            "name": bundle.spec.name,
            "weights": bundle.spec.weights,
        },
        "environment": dict(environment),
        "figures": {name: figure.as_json() for name, figure in figures.items()},
        **more,
    }


def plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON has them."""
    kept = (bool, int, float, str, type(None))
    return {
        name: value if isinstance(value, kept) else _words(value)
        for name, value in asked.items()
        if not callable(value)
    }


def _words(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_words(item) for item in value]
    return value if isinstance(value, int | float) else str(value)


def read_document(path: Path) -> Document:
    """Read a document.

    Raises
    ------
    SettingsError
        If it is none, or of a later version.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise SettingsError(
            f"{path} cannot be read ({err})", "the JSON of a benchmark", "give its --json"
        ) from err
    said = (found.get("schema"), found.get("schema_version")) if isinstance(found, dict) else ()
    if said != (SCHEMA, SCHEMA_VERSION):
        raise SettingsError(
            f"{path} says it is {' '.join(map(str, said)) or 'nothing'}",
            f"{SCHEMA} {SCHEMA_VERSION}",
            "measure again with this version",
        )
    return dict(found)


def rounds_ms(figure: Mapping[str, Any]) -> list[Times]:
    """A figure's values, ms, round by round."""
    return [np.array(values, np.float64) / 1e3 for values in figure["rounds_us"]]
