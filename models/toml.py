"""Settings from TOML files and command lines, with errors that name the key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import SettingsError

Settings = TypeVar("Settings", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises
    ------
    SettingsError
        If it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except OSError as err:
        raise SettingsError(f"{path}: {err.strerror}", "a TOML file", "check the path") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise SettingsError(f"{path}: {err}", "valid TOML", "correct it") from err


def validated(kind: type[Settings], raw: dict[str, Any], source: str) -> Settings:
    """Settings from plain values.

    Raises
    ------
    SettingsError
        Naming the first wrong key.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as err:
        first = err.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise SettingsError(
                f"{source}: unknown key '{key}'",
                "one of " + ", ".join(_siblings(kind, first["loc"])),
                "correct or remove it",
            ) from err
        if first["type"] == "missing":
            raise SettingsError(f"{source}: '{key}' is missing", "a value", "give it") from err
        raise SettingsError(
            f"{source}: '{key}' is {first['input']!r}", first["msg"], "correct it"
        ) from err


def _siblings(kind: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    for part in place[:-1]:
        field = kind.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        kind = inner
    return sorted(kind.model_fields)
