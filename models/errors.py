"""Every error a person may meet; the command line prints them in one line and exits 2.

SeegvoxError
├── SettingsError      a setting, option or TOML key is wrong
├── MissingExtraError  an optional package is not installed
├── BusyOutputError    an output exists and was not allowed to be overwritten
├── BundleError        a bundle is damaged, too new, or does not prove itself
├── CalibrationError   a calibration is damaged, another bundle's, or had too little signal
├── RecordingError     a recording cannot be read or does not say what it must
├── MontageError       contacts, units or rate differ from what the bundle was trained on
├── StreamError        no LSL stream, several, or one that went away
└── AudioError         no usable sound device
"""

from __future__ import annotations

import importlib
from types import ModuleType


class SeegvoxError(Exception):
    """Base of all errors: what was found, what was expected, what to do next."""

    def __init__(self, found: str, expected: str = "", todo: str = "") -> None:
        self.found, self.expected, self.todo = found, expected, todo
        parts = [found]
        if expected:
            parts.append(f"expected {expected}")
        if todo:
            parts.append(todo)
        super().__init__("; ".join(parts))


class SettingsError(SeegvoxError):
    """A setting, an option or a TOML key is wrong."""


class MissingExtraError(SeegvoxError):
    """An optional package is needed and not installed."""


class BusyOutputError(SeegvoxError):
    """An output path exists and overwriting was not asked for."""


class BundleError(SeegvoxError):
    """A bundle is damaged, of an unknown schema, or fails its golden vectors."""


class CalibrationError(SeegvoxError):
    """A calibration is damaged, belongs to another bundle, or had too little signal."""


class RecordingError(SeegvoxError):
    """A recording cannot be read, is truncated, or lacks what is needed."""


class MontageError(SeegvoxError):
    """Contacts, units or rate differ from what the bundle was trained on."""


class StreamError(SeegvoxError):
    """No LSL stream matches, several do, or the stream went away."""


class AudioError(SeegvoxError):
    """No sound device can be used as asked."""


def need(module: str, extra: str) -> ModuleType:
    """Import an optional module.

    Raises
    ------
    MissingExtraError
        If it is not installed; names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as err:
        raise MissingExtraError(
            f"the package '{module}' is not installed ({err})",
            f"the extra '{extra}'",
            f"run: pip install 'seegvox[{extra}]'",
        ) from err
