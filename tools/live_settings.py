"""From the command line of `live` to its settings: a TOML, over it options, over them `--set`."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

from models.errors import SettingsError

_OPTIONS: dict[str, tuple[str, ...]] = {
    "bundle": ("bundle",),
    "out": ("out",),
    "seconds": ("seconds",),
    "unit": ("unit",),
    "allow_missing": ("allow_missing",),
    "calibration": ("calibration",),
    "vocoder": ("vocoder",),
    "source_id": ("stream", "source_id"),
    "name": ("stream", "name"),
    "type": ("stream", "type"),
    "timeout": ("stream", "timeout_s"),
    "device": ("playout", "device"),
    "wav": ("playout", "wav"),
    "target_ms": ("playout", "target_ms"),
    "gain_db": ("limiter", "gain_db"),
    "outlets": ("outlets", "streams"),
}
"""Option of the command line, and its place in the TOML."""


def live_settings(args: argparse.Namespace) -> Any:
    """Settings from TOML and command line.

    Raises
    ------
    SettingsError
        Naming the wrong or missing key.
    """
    from models.toml import read_toml, validated
    from realtime.settings import LiveSettings

    file, bundle = _session(args)
    raw = read_toml(file) if file else {}
    given = {**vars(args), "bundle": bundle}
    for option, place in _OPTIONS.items():
        if given.get(option) is not None:
            _put(raw, place, given[option])
    if given.get("wav") is not None:
        _put(raw, ("playout", "sink"), "wav")
    for text in given.get("set") or ():
        _put(raw, *_assignment(text))
    return validated(LiveSettings, raw, str(file or "the command line"))


def _session(args: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """The TOML and the bundle: the positional may be either."""
    path: Path | None = args.session
    if path is None or path.is_dir() or not (path.is_file() or path.suffix == ".toml"):
        return args.settings, path
    if args.settings is not None:
        raise SettingsError(f"{path} and --settings {args.settings}", "one TOML", "give one")
    return path, None


def _put(raw: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    *tables, key = place
    for name in tables:
        raw = raw.setdefault(name, {})
        if not isinstance(raw, dict):
            raise SettingsError(f"'{name}' is {raw!r}", "a table", f"write [{name}] in the TOML")
    raw[key] = value


def _assignment(text: str) -> tuple[tuple[str, ...], Any]:
    key, equals, value = text.partition("=")
    place = tuple(part.strip() for part in key.split("."))
    if not equals or not all(place):
        raise SettingsError(f"--set {text}", "KEY=VALUE", "such as --set playout.target_ms=60")
    try:
        return place, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        # On a command line a name or a path has no quotes.
        return place, value.strip()
