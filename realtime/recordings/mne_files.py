"""EDF, BrainVision, FIF, Nihon Kohden and whatever else MNE-Python reads."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError, need
from realtime.recordings.brainvision import check_complete, labels_of
from realtime.recordings.contacts import Channel, brief
from realtime.recordings.edf import check_continuous, check_equal_rates, read_edf_header
from realtime.recordings.options import Options
from realtime.recordings.source import Source, contacts_of

_EDF = (".edf", ".bdf")
# MNE hands out volts: what one unit of the file became. It takes every other unit for volts.
_VOLTS = {"µV": 1e-6, "uV": 1e-6, "mV": 1e-3, "nV": 1e-9}
_EDF_UNKNOWN = ("nV",)
# MNE writes the kind of a BrainVision marker before its text: Comment/start;house.
_BRAINVISION_KIND = re.compile(r"^(Stimulus|Comment|Response)/")
_NOT_UNIQUE = "not unique"


def open_mne(file: Path, options: Options) -> Source:
    """Open a file with MNE.

    Raises
    ------
    RecordingError
        If MNE cannot read it, it is discontinuous, or channels share a label.
    MissingExtraError
        Without the extra `formats` (mne).
    """
    if file.suffix.lower() in _EDF:
        return _open_edf(file, options)
    notes = []
    if file.suffix.lower() == ".vhdr":
        _check_labels(file, labels_of(file))
        notes = check_complete(file)
    source = _opened(file)
    return replace(source, notes=(*notes, *source.notes))


def _open_edf(file: Path, options: Options) -> Source:
    """EDF and BDF: channels of other rates are left out when the file is opened.

    Otherwise MNE resamples everything to the highest rate, each piece by itself.
    """
    header = read_edf_header(file)
    _check_labels(file, [label for label in header.labels if "Annotations" not in label])
    check_continuous(header)
    source = _opened(file)
    places, _ = contacts_of(source, options)
    names = [source.channels[i].name for i in places]
    check_equal_rates(header, names)
    if len(set(header.counts)) == 1:
        return source
    left = [channel.name for channel in source.channels if channel.name not in names]
    reopened = _opened(file, exclude=left)
    return replace(
        reopened,
        notes=(*reopened.notes, *([f"no contacts, left out: {brief(left)}"] if left else [])),
    )


def _check_labels(file: Path, labels: Sequence[str]) -> None:
    _refuse_duplicates(file, sorted({label for label in labels if labels.count(label) > 1}))


def _opened(file: Path, **options: Any) -> Source:
    mne = need("mne", "formats")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            # Not every reader of MNE has the option `verbose`.
            with mne.use_log_level("WARNING"):
                raw = mne.io.read_raw(file, preload=False, **options)
        except Exception as err:  # MNE raises whatever its parsing trips over
            raise _unreadable(file, err) from err
    messages = [" ".join(str(warning.message).split()) for warning in said]
    if raw.preload:
        messages.append("this format is read at once; its memory is that of all its samples")
    if any(_NOT_UNIQUE in message for message in messages):
        _refuse_duplicates(file, [m for m in messages if _NOT_UNIQUE in m])
    units = _units(raw, file)
    scale = np.array([_per_volt(unit, file) for unit in units])

    def read(places: list[int], start: int, stop: int) -> NDArray[np.float64]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore")
            # It would resample each piece by itself, and leave a step at every joint.
            warnings.filterwarnings("error", message=".*mixed sampling")
            try:
                volts = raw.get_data(picks=places, start=start, stop=stop, verbose="WARNING")
            except Exception as err:
                raise _unreadable(file, err) from err
        values: NDArray[np.float64] = volts.T * scale[places]
        return values

    return Source(
        file=file,
        rate_hz=float(raw.info["sfreq"]),
        samples=int(raw.n_times),
        channels=_channels(raw),
        units=units,
        read=read,
        marks=_marks(raw, file),
        bad=tuple(raw.info["bads"]),
        line_hz=raw.info["line_freq"],
        notes=tuple(f"MNE: {message}" for message in dict.fromkeys(messages)),
        files=tuple(Path(name) for name in raw.filenames if name is not None),
    )


def _channels(raw: Any) -> list[Channel]:
    return [
        Channel(name, kind.upper())
        for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
    ]


def _units(raw: Any, file: Path) -> list[str]:
    """The unit in the header per channel; where a format fixes it, MNE's volts."""
    said = getattr(raw, "_orig_units", None) or {}
    if not said and file.suffix.lower() not in (*_EDF, ".vhdr"):
        return ["V"] * len(raw.ch_names)
    return ["" if said.get(name) in (None, "n/a") else said[name] for name in raw.ch_names]


def _per_volt(unit: str, file: Path) -> float:
    """Units of the file in what MNE gives as one volt."""
    if file.suffix.lower() in _EDF and unit in _EDF_UNKNOWN:
        return 1.0
    return 1 / _VOLTS.get(unit, 1.0)


def _marks(raw: Any, file: Path) -> list[tuple[float, float, str]]:
    """Annotations, onsets counted from the first sample.

    Raises
    ------
    RecordingError
        If one says that the file was paused or joined from parts.
    """
    found = raw.annotations
    # With a date of their own, onsets count from it, not from the first sample.
    shift = 0.0 if found.orig_time is None else float(raw.first_time)
    marks = [
        (float(onset) - shift, float(length), _BRAINVISION_KIND.sub("", str(text)))
        for onset, length, text in zip(found.onset, found.duration, found.description, strict=True)
    ]
    joints = [onset for onset, _, text in marks if text.upper().startswith(("EDGE", "BAD BOUND"))]
    if joints:
        raise RecordingError(
            f"{file} was paused or joined at "
            + ", ".join(f"{at:.2f} s" for at in sorted(set(joints))[:6]),
            "a recording without pauses: what follows would not match the audio",
            "export its parts as files of their own",
        )
    return marks


def _refuse_duplicates(file: Path, names: Sequence[str]) -> None:
    if names:
        raise RecordingError(
            f"{file} has labels more than once: {brief(names)}",
            "every contact once",
            "name the channels uniquely in the file",
        )


def _unreadable(file: Path, err: Exception) -> RecordingError:
    reason = " ".join(f"{type(err).__name__}: {err}".split())
    return RecordingError(
        f"{file} cannot be read ({reason[:300]})",
        "a complete file of a format that MNE reads, or .nwb, .xdf, .trc",
        "copy or export it again",
    )
