"""A recording's sEEG in the bundle's montage, in microvolts, in pieces of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import MontageError, RecordingError
from models.montage import Match, match_labels
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.recordings.amplitude import Unit, check_amplitude, known_unit, microvolts_in
from realtime.recordings.clocks import stated
from realtime.recordings.contacts import brief
from realtime.recordings.micromed import open_micromed
from realtime.recordings.mne_files import open_mne
from realtime.recordings.options import Options
from realtime.recordings.read import BIDS_SUFFIXES, find_recording
from realtime.recordings.scratch import pieces
from realtime.recordings.source import Source

XDF_SUFFIXES = (".xdf", ".xdfz")
SUFFIXES = (*XDF_SUFFIXES, *BIDS_SUFFIXES, ".bdf", ".trc")
"""What is taken for a recording when a whole folder is decoded."""
CHECKED_S = 20
"""The amplitude is judged by the first seconds: a wrong unit is wrong from the start."""


@dataclass(frozen=True)
class Part:
    """Consecutive samples.

    `samples` `(n, contacts)` float32, microvolts; `stamps` `(n,)`, the sender's clock, s; `taken`
    `(n,)`, when each was taken by the clock of whoever recorded it, s.
    """

    samples: Floats
    stamps: NDArray[np.float64]
    taken: NDArray[np.float64]

    def cut(self, start: int, stop: int) -> Part:
        """Some of the samples."""
        rows = slice(start, stop)
        return Part(self.samples[rows], self.stamps[rows], self.taken[rows])

    def joined(self, after: Part) -> Part:
        """These samples and those after them."""
        both = zip(vars(self).values(), vars(after).values(), strict=True)
        return Part(*(np.concatenate(pair) for pair in both))


@dataclass(frozen=True)
class Series:
    """The sEEG of a recording: `samples` in all at `fs`, in the order of `contacts`.

    `parts` reads it from the start, some thousands of samples at once; `missing` contacts were
    given up and are NaN; `notes` say what is unusual, a sentence each.
    """

    path: Path
    contacts: tuple[str, ...]
    fs: Fraction
    samples: int
    parts: Callable[[], Iterator[Part]]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    close: Callable[[], None] = lambda: None

    @property
    def seconds(self) -> float:
        """Length."""
        return float(self.samples / self.fs)


def open_series(
    path: Path,
    spec: BundleSpec,
    unit: Unit | None = None,
    stream: str | None = None,
    allow_missing: Sequence[str] = (),
) -> Series:
    """The sEEG of a recording, checked against a bundle.

    Parameters
    ----------
    unit : what one unit of the numbers is, instead of what the file says: a name, or microvolts.
    stream : name of the stream of an XDF file, or of the series of an NWB file; by default the only
        one that is sEEG.
    allow_missing : contacts that may be missing.

    Raises
    ------
    RecordingError
        If the file cannot be read, holds no samples, no sEEG or several streams of it, or its
        unit is unknown or implausible.
    MontageError
        If contacts or rate are not the bundle's.
    MissingExtraError
        Without the extra `formats` where the format needs it.
    """
    file = find_recording(path)
    suffix = file.suffix.lower()
    if suffix in XDF_SUFFIXES:
        from realtime.redecode.xdf import xdf_series

        return xdf_series(file, spec, unit, stream, allow_missing)
    if suffix == ".nwb":
        from realtime.redecode.nwb import nwb_series

        return nwb_series(file, spec, unit, stream, allow_missing)
    if stream is not None:
        raise RecordingError(
            f"--stream for {file.name}, which holds but one", "no stream", "leave it out"
        )
    wanted = tuple(contact for contact in spec.contacts if contact not in set(allow_missing))
    options = Options(contacts=wanted, unit=unit)
    source = open_micromed(file) if suffix == ".trc" else open_mne(file, options)
    return _source_series(source, spec, unit, allow_missing)


def check_rate(path: Path, found: Fraction, spec: BundleSpec) -> None:
    """Refuse another rate than the bundle's.

    Raises
    ------
    MontageError
        If it is another.
    """
    if found != spec.fs_hz:
        raise MontageError(
            f"{path} has {float(found):.10g} Hz" if found else f"{path} states no regular rate",
            f"{float(spec.fs_hz):.10g} Hz, the rate the bundle was trained on",
            "give a recording at that rate, or train a bundle for this one",
        )


def factors(
    path: Path, contacts: Sequence[str], match: Match, units: Sequence[str], unit: Unit | None
) -> NDArray[np.float64]:
    """Microvolts in one unit, per contact; NaN for those given up.

    Raises
    ------
    RecordingError
        If the file does not say.
    """
    if unit is not None:
        known: list[float | None] = [microvolts_in(unit)] * len(contacts)
    else:
        known = [known_unit(units[c]) if c >= 0 else np.nan for c in match.columns]
    unknown = [name for name, value in zip(contacts, known, strict=True) if value is None]
    if unknown:
        said = sorted({units[c] or "no unit" for c in match.columns if c >= 0})
        raise RecordingError(
            f"{path}: the unit of {brief(unknown)} is not known ({', '.join(said)})",
            "a unit of voltage for every contact",
            "state it: --unit uV, mV, V or how many microvolts one unit is",
        )
    scale = np.array(known, np.float64)
    scale[np.array(match.columns) < 0] = np.nan
    return scale


def check_plausible(series: Series, said: str, per_unit: float) -> Series:
    """The series, unless its first values deny the unit.

    Raises
    ------
    RecordingError
        If they do.
    """
    rows, taken = [], 0
    for part in series.parts():
        rows.append(part.samples)
        taken += len(part.samples)
        if taken >= CHECKED_S * series.fs:
            break
    if rows:
        check_amplitude(np.concatenate(rows), series.fs, said, per_unit)
    return series


def refuse_short(path: Path, samples: int, spec: BundleSpec) -> None:
    """Refuse what is no hop long.

    Raises
    ------
    RecordingError
        If it is shorter.
    """
    if samples < spec.clock.end(0):
        raise RecordingError(
            f"{path} holds {samples or 'no'} samples of sEEG",
            f"at least {spec.clock.end(0)}, one hop",
            "choose another",
        )


# --- formats of a steady rate -----------------------------------------------------------------


def _source_series(
    source: Source, spec: BundleSpec, unit: Unit | None, allow_missing: Sequence[str]
) -> Series:
    check_rate(source.file, stated(source.rate_hz), spec)
    refuse_short(source.file, source.samples, spec)
    names = [channel.name for channel in source.channels]
    match = match_labels(spec.contacts, names, allow_missing)
    scale = factors(source.file, spec.contacts, match, source.units, unit)
    places = [max(column, 0) for column in match.columns]

    def parts() -> Iterator[Part]:
        for start, stop in pieces(source.samples, len(names)):
            # A reader hands out a place once only.
            wanted = sorted(set(places))
            rows = source.read(wanted, start, stop)
            order = np.searchsorted(wanted, places)
            values = (rows[:, order] * scale).astype(np.float32)
            yield _regular(values, start, spec.fs_hz)

    series = Series(
        source.file, spec.contacts, spec.fs_hz, source.samples, parts, match.missing, source.notes
    )
    if unit is not None:
        return series
    said = f"{source.file.name} in {brief(sorted({source.units[i] for i in places}))}"
    return check_plausible(series, said, float(np.nanmedian(scale)))


def _regular(samples: Floats, start: int, fs: Fraction) -> Part:
    stamps: NDArray[np.float64] = np.arange(start, start + len(samples)) / float(fs)
    return Part(samples, stamps, stamps)
