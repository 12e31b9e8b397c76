"""What to decode, with what, and what that changes against the session as it was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, load_bundle
from models.errors import BundleError, CalibrationError, MontageError, SettingsError
from models.montage import match_labels
from models.spec import BundleSpec
from realtime.calibration.folder import Calibration, chosen
from realtime.recordings.amplitude import Unit
from realtime.redecode.bursts import in_bursts
from realtime.redecode.pulls import Pull, masked
from realtime.redecode.series import open_series
from realtime.redecode.session import Session, is_session, open_recorded, refuse_options
from realtime.settings import LiveSettings

BURST = 16
"""Samples of a burst where nobody says; a clinical amplifier sends 1 to 100."""
NO_CALIBRATION = "none"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Parameters
    ----------
    file : a session's folder or a recording.
    out : the folder to write, new.
    bundle : what to decode with; None takes the one that the session was decoded with.
    vocoder : instead of the session's, or of the default.
    calibration : folder, `newest`, or `none` for the bundle's own statistics, instead of the
        session's.
    mask : contacts to mask throughout.
    allow_missing : contacts that the recording may lack.
    unit, stream, burst : of a recording: see `open_series`; samples of a burst, 16 by default.
    overwrite : replace `out`.
    """

    file: Path
    out: Path
    bundle: Path | None = None
    vocoder: str | None = None
    calibration: Path | str | None = None
    mask: tuple[str, ...] = ()
    allow_missing: tuple[str, ...] = ()
    unit: Unit | None = None
    stream: str | None = None
    burst: int | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything is checked; `pulls` reads from the start each time.

    `seconds` is how much signal there is. Of a session: `changed` names what is not as it was
    recorded, and `session` is it; None for a recording. `unused` `(contacts,)` are masked
    throughout, `given_up` their names.
    """

    request: Request
    bundle: Bundle
    settings: LiveSettings
    calibration: Calibration | None
    pulls: Callable[[], Iterator[Pull]]
    seconds: float
    given_up: tuple[str, ...]
    changed: tuple[str, ...] = ()
    session: Session | None = None
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


def plan(request: Request) -> Plan:
    """Open and check all that a request names; writes nothing.

    Raises
    ------
    SeegvoxError
        Whatever is wrong with bundle, recording, calibration or options.
    """
    if request.burst is not None and not 1 <= request.burst <= 100_000:
        raise SettingsError(
            f"--burst {request.burst}", "1 to 100000 samples", f"the default is {BURST}"
        )
    if is_session(request.file):
        return _session_plan(request)
    return _recording_plan(request)


# --- a session ----------------------------------------------------------------------------------


def _session_plan(request: Request) -> Plan:
    refuse_options({name: vars(request)[name] for name in ("unit", "stream", "burst")})
    session = open_recorded(request.file)
    bundle = _bundle_of(session, request)
    spec = bundle.spec
    _check_rate(session, spec)
    same = bundle.hash == session.about.get("bundle_sha256")
    calibration, notes = _calibration_of(session, bundle, same, request)
    changes: dict[str, Any] = {"bundle": str(bundle.path), "out": str(request.out)}
    changes |= {"calibration": None}
    if request.vocoder is not None:
        changes["vocoder"] = request.vocoder
    settings = session.live_settings(**changes)
    match = match_labels(spec.contacts, session.contacts, request.allow_missing)
    unused = _masked_of(spec, request.mask) | (np.array(match.columns) < 0)
    columns = np.maximum(np.array(match.columns, np.intp), 0)
    differs = {
        "bundle": not same,
        "vocoder": settings.vocoder != session.settings.get("vocoder"),
        "calibration": _hash(calibration) != _recorded_calibration(session).get(_SHA),
        "mask": bool(request.mask),
    }
    return Plan(
        request=request,
        bundle=bundle,
        settings=settings,
        calibration=calibration,
        pulls=lambda: session.pulls(columns, unused),
        seconds=session.samples / session.fs_hz,
        given_up=_given_up(spec, unused, session.about.get("given_up_contacts") or ()),
        changed=tuple(name for name, changed in differs.items() if changed),
        session=session,
        notes=(*notes, *_session_notes(session)),
        facts={"stream": session.about.get("stream"), "samples": session.samples},
    )


_SHA = "calibration_sha256"


def _recorded_calibration(session: Session) -> dict[str, Any]:
    return session.about.get("calibration") or {}


def _hash(calibration: Calibration | None) -> str | None:
    return calibration.hash if calibration else None


def _bundle_of(session: Session, request: Request) -> Bundle:
    if request.bundle is not None:
        return load_bundle(request.bundle)
    path, recorded = Path(str(session.settings.get("bundle"))), session.about.get("bundle_sha256")
    if not path.is_dir():
        raise BundleError(
            f"the bundle of {session.folder}, {path}, is not there",
            f"the bundle with SHA-256 {str(recorded)[:16]}",
            "say where it is now with --bundle",
        )
    bundle = load_bundle(path)
    if bundle.hash != recorded:
        raise BundleError(
            f"{path} is not the bundle that {session.folder} was decoded with any more",
            f"SHA-256 {str(recorded)[:16]}, found {bundle.hash[:16]}",
            "give the one that is meant with --bundle",
        )
    return bundle


def _calibration_of(
    session: Session, bundle: Bundle, same: bool, request: Request
) -> tuple[Calibration | None, list[str]]:
    """The calibration asked for, or the session's own if the bundle is."""
    if request.calibration is not None:
        wanted = None if str(request.calibration) == NO_CALIBRATION else request.calibration
        return chosen(wanted, bundle), []  # type: ignore[arg-type]
    facts = _recorded_calibration(session)
    if not facts:
        return None, []
    if not same:
        return None, ["the session's calibration is of its own bundle; this one's statistics hold"]
    found = chosen(Path(facts["calibration"]), bundle)
    if _hash(found) != facts[_SHA]:
        raise CalibrationError(
            f"{facts['calibration']} is not the calibration of {session.folder} any more",
            f"the one with SHA-256 {facts[_SHA][:16]}",
            "say which one is meant with --calibration FOLDER, or none",
        )
    return found, []


def _check_rate(session: Session, spec: BundleSpec) -> None:
    if session.fs_hz != float(spec.fs_hz):
        raise MontageError(
            f"{session.folder} has {session.fs_hz:.10g} Hz",
            f"{float(spec.fs_hz):.10g} Hz, the rate the bundle was trained on",
            "give a bundle for that rate",
        )


def _session_notes(session: Session) -> list[str]:
    notes = []
    if session.lacking:
        notes.append(
            f"the record lacks {session.lacking} samples that were decoded live, the first before "
            f"LSL time {session.lacking_from:.3f} s: hops from there on differ"
        )
    if session.ended == "cut off":
        notes.append("its processes were killed: what was written by then is decoded")
    return notes


# --- a recording --------------------------------------------------------------------------------


def _recording_plan(request: Request) -> Plan:
    if request.bundle is None:
        raise SettingsError(
            f"no bundle for {request.file}", "--bundle", "name what to decode it with"
        )
    bundle = load_bundle(request.bundle)
    spec, wanted = bundle.spec, request.calibration
    calibration = chosen(None if wanted == NO_CALIBRATION else wanted, bundle)  # type: ignore[arg-type]
    settings = _default_settings(request)
    series = open_series(request.file, spec, request.unit, request.stream, request.allow_missing)
    unused = _masked_of(spec, request.mask)
    columns, burst = np.arange(len(spec.contacts)), request.burst or BURST
    return Plan(
        request=request,
        bundle=bundle,
        settings=settings,
        calibration=calibration,
        pulls=lambda: _without(in_bursts(series, burst), columns, unused),
        seconds=series.seconds,
        given_up=_given_up(spec, unused, series.missing),
        notes=series.notes,
        facts={"samples": series.samples, "burst": burst},
        close=series.close,
    )


def _default_settings(request: Request) -> LiveSettings:
    from models.toml import validated

    raw: dict[str, Any] = {"bundle": str(request.bundle), "out": str(request.out)}
    if request.vocoder is not None:
        raw["vocoder"] = request.vocoder
    return validated(LiveSettings, raw, "the command line")


def _without(
    pulls: Iterator[Pull], columns: NDArray[np.intp], unused: NDArray[np.bool_]
) -> Iterator[Pull]:
    for pull in pulls:
        samples = masked(pull.samples, columns, unused)
        yield Pull(samples, pull.timestamps, pull.available)


# --- both ---------------------------------------------------------------------------------------


def _masked_of(spec: BundleSpec, names: Sequence[str]) -> NDArray[np.bool_]:
    unknown = [name for name in names if name not in spec.contacts]
    if unknown:
        raise SettingsError(
            f"--mask {' '.join(unknown)}",
            f"contacts of the bundle: {', '.join(spec.contacts[:12])}"
            + (f", ... ({len(spec.contacts)} in all)" if len(spec.contacts) > 12 else ""),
            "correct the names",
        )
    return np.array([contact in set(names) for contact in spec.contacts])


def _given_up(spec: BundleSpec, unused: NDArray[np.bool_], more: Sequence[str]) -> tuple[str, ...]:
    lost = {*more, *(c for c, out in zip(spec.contacts, unused, strict=True) if out)}
    return tuple(contact for contact in spec.contacts if contact in lost)
