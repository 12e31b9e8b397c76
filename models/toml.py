"""Settings from TOML files and command lines, with errors that name the key; and back to TOML."""

from __future__ import annotations

import json
import textwrap
import tomllib
from collections.abc import Iterator
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


def as_toml(settings: BaseModel) -> str:
    """Settings as a TOML that gives them again, every key with its description and default.

    What is None has no TOML: it stands there as a comment.
    """
    return "\n".join(_table(settings, ())).strip() + "\n"


def _table(settings: BaseModel, place: tuple[str, ...]) -> Iterator[str]:
    plain = settings.model_dump(mode="json")
    inner = {k: v for k in plain if isinstance(v := getattr(settings, k), BaseModel)}
    if place:
        yield from ("", f"[{'.'.join(place)}]")
    for key, value in plain.items():
        if key in inner:
            continue
        field = type(settings).model_fields[key]
        said = field.description or ""
        if not field.is_required():
            default = field.get_default(call_default_factory=True)
            said += f" (default: {'none' if default is None else _value(default)})"
        yield from textwrap.wrap(said, 98, initial_indent="# ", subsequent_indent="# ")
        yield f"# {key} =" if value is None else f"{key} = {_value(value)}"
    for key, model in inner.items():
        yield from _table(model, (*place, key))


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        # TOML writes inf and nan as Python does.
        return repr(value)
    if isinstance(value, (bool, int)):
        return json.dumps(value)
    # A basic string of TOML takes JSON's escapes, but wants DEL escaped too.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
