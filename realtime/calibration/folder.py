"""A calibration's folder, beside its bundle.

BUNDLE.calibrations/20260131T094500Z/
    calibration.json     what it is (`About`)
    statistics.npz       mean and standard deviation per channel
    SHA256SUMS           of both; its own SHA-256 is the calibration's hash
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.bundle import Bundle
from models.errors import CalibrationError
from models.files import new_folder, sha256
from models.normalise import Statistics
from models.spec import BundleSpec, Model, Rational
from models.toml import validated
from realtime.calibration.measure import Estimator, Measured
from realtime.environment import versions

ABOUT, STATISTICS, SUMS = "calibration.json", "statistics.npz", "SHA256SUMS"
FILES = (ABOUT, STATISTICS)
NEWEST = "newest"
_STAMP = re.compile(r"\d{8}T\d{6}Z")


class About(Model):
    """`calibration.json`; seconds by name hold only what is not 0."""

    schema_version: Literal[1] = 1
    made_utc: datetime
    bundle_name: str
    bundle_sha256: str
    front_end_sha256: str
    contacts: tuple[str, ...]
    fs_hz: Rational
    source: dict[str, Any]
    estimator: Estimator
    seconds: float
    interruptions: int
    masked_s: dict[str, float]
    artefact_s: dict[str, float]
    kept_channels: tuple[str, ...]
    quiet_channels: tuple[str, ...]
    versions: dict[str, str]

    @property
    def mostly_masked(self) -> tuple[str, ...]:
        """Contacts that were masked more than half of the time."""
        return tuple(c for c, masked_s in self.masked_s.items() if masked_s > self.seconds / 2)


@dataclass(frozen=True)
class Calibration:
    """A calibration whose files are what they were when it was written."""

    path: Path
    about: About
    statistics: Statistics
    hash: str

    def facts(self) -> dict[str, Any]:
        """What a record says of it."""
        return {
            "calibration": str(self.path),
            "calibration_sha256": self.hash,
            "made_utc": self.about.made_utc.isoformat(),
            "seconds": self.about.seconds,
            "kept_channels": list(self.about.kept_channels),
        }

    def line(self, now: datetime | None = None) -> str:
        """Which it is, in a line."""
        hours = ((now or datetime.now(UTC)) - self.about.made_utc).total_seconds() / 3600
        kept = len(self.about.kept_channels)
        rest = f"; {kept} channels keep the bundle's" if kept else ""
        return f"calibration {self.path.name}, {self.about.seconds:.0f} s, {hours:.1f} h old{rest}"


def folder_of(bundle: Path) -> Path:
    """Where a bundle's calibrations lie."""
    resolved = bundle.resolve()
    return resolved.with_name(f"{resolved.name}.calibrations")


def front_end_hash(spec: BundleSpec) -> str:
    """SHA-256 of all that decides what a feature channel is."""
    decides = {
        "front_end": spec.front_end.model_dump(mode="json", exclude_defaults=True),
        "contacts": spec.contacts,
        "fs_hz": str(spec.fs_hz),
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def write_calibration(
    bundle: Bundle, measured: Measured, source: dict[str, Any], path: Path | None = None
) -> Calibration:
    """Write a calibration, whole or not at all, into a new folder.

    Parameters
    ----------
    path : the folder; by default `BUNDLE.calibrations/` and the time, UTC.

    Raises
    ------
    BusyOutputError
        If the folder exists.
    CalibrationError
        If it would lie within the bundle.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    chosen_path = path or folder_of(bundle.path) / now.strftime("%Y%m%dT%H%M%SZ")
    if bundle.path.resolve() in (chosen_path.resolve(), *chosen_path.resolve().parents):
        raise CalibrationError(
            f"{chosen_path} lies in the bundle", "a folder outside it", "choose another --out"
        )
    about = _about(bundle, measured, source, now)
    with new_folder(chosen_path) as folder:
        (folder / ABOUT).write_text(about.model_dump_json(indent=2) + "\n", encoding="utf-8")
        today = measured.statistics
        np.savez(folder / STATISTICS, mean=today.mean, std=today.std)
        (folder / SUMS).write_bytes(_sums(folder).encode())
    return load_calibration(chosen_path, bundle)


def _about(bundle: Bundle, measured: Measured, source: dict[str, Any], now: datetime) -> About:
    spec, channels = bundle.spec, bundle.front_end().channel_names
    return About(
        made_utc=now,
        bundle_name=spec.name,
        bundle_sha256=bundle.hash,
        front_end_sha256=front_end_hash(spec),
        contacts=spec.contacts,
        fs_hz=spec.fs_hz,
        source=source,
        estimator=measured.estimator,
        seconds=measured.seconds,
        interruptions=measured.interruptions,
        masked_s={c: float(s) for c, s in zip(spec.contacts, measured.masked_s, strict=True) if s},
        artefact_s={c: float(s) for c, s in zip(channels, measured.artefact_s, strict=True) if s},
        kept_channels=tuple(c for c, kept in zip(channels, measured.kept, strict=True) if kept),
        quiet_channels=tuple(c for c, quiet in zip(channels, measured.quiet, strict=True) if quiet),
        versions=versions(),
    )


def load_calibration(path: Path, bundle: Bundle) -> Calibration:
    """Read a calibration, verifying every hash and that it is this bundle's.

    Raises
    ------
    CalibrationError
        If anything is missing, altered, or of another bundle, montage or front end.
    """
    _verify(path)
    raw = json.loads((path / ABOUT).read_text(encoding="utf-8"))
    about = validated(About, raw, str(path / ABOUT))
    _refuse_other(path, about, bundle)
    with np.load(path / STATISTICS, allow_pickle=False) as file:
        statistics = Statistics(file["mean"], file["std"])
    _refuse_useless(path, statistics, len(bundle.arrays["mean"]))
    return Calibration(path, about, statistics, sha256(path / SUMS))


def chosen(which: Path | Literal["newest"] | None, bundle: Bundle) -> Calibration | None:
    """The calibration that a session names: a folder, the newest, or none.

    Raises
    ------
    CalibrationError
        As `load_calibration` and `newest`.
    """
    if which is None:
        return None
    return load_calibration(newest(bundle.path) if which == NEWEST else Path(which), bundle)


def newest(bundle: Path) -> Path:
    """The last calibration beside a bundle.

    Raises
    ------
    CalibrationError
        If there is none.
    """
    beside = folder_of(bundle)
    found = sorted(p for p in beside.glob("*") if _STAMP.fullmatch(p.name) and p.is_dir())
    if not found:
        raise CalibrationError(
            f"no calibration in {beside}",
            "one",
            f"run: seegvox calibrate {bundle}, or name a calibration's folder",
        )
    return found[-1]


def _sums(folder: Path) -> str:
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in FILES)


def _verify(path: Path) -> None:
    if not (path / SUMS).is_file():
        raise CalibrationError(
            f"{path} holds no {SUMS}", "a calibration's folder", "give the one `calibrate` wrote"
        )
    there = [name for name in FILES if (path / name).is_file()]
    if there != list(FILES) or (path / SUMS).read_bytes() != _sums(path).encode():
        raise CalibrationError(
            f"{path}: files are not those that {SUMS} lists",
            ", ".join(FILES) + ", as they were written",
            "the calibration is damaged or was edited: calibrate again",
        )


def _refuse_other(path: Path, about: About, bundle: Bundle) -> None:
    """Name the first thing that differs."""
    spec = bundle.spec
    differs = ""
    if about.contacts != spec.contacts:
        differs = f"of another montage ({len(about.contacts)} contacts)"
    elif about.front_end_sha256 != front_end_hash(spec):
        differs = "of another front end"
    elif about.bundle_sha256 != bundle.hash:
        differs = "of another bundle"
    if differs:
        raise CalibrationError(
            f"{path} is {differs}: made for '{about.bundle_name}' {about.bundle_sha256[:16]}",
            f"one of '{spec.name}' {bundle.hash[:16]}",
            f"run: seegvox calibrate {bundle.path}",
        )


def _refuse_useless(path: Path, statistics: Statistics, channels: int) -> None:
    mean, std = statistics.mean, statistics.std
    fits = mean.shape == std.shape == (channels,)
    if not (fits and np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise CalibrationError(
            f"{path / STATISTICS} holds what cannot be statistics",
            f"finite means and positive deviations of {channels} channels",
            "calibrate again",
        )
