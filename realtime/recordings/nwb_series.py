"""Series of an NWB file: their data, and when it was taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from models.errors import RecordingError, need
from realtime.recordings.clocks import SeriesClock, measured_clock

_CLOCK_TOLERANCE = 1e-3


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """The file, open; what goes wrong while it is read is one line.

    Raises
    ------
    RecordingError
        If it is damaged.
    MissingExtraError
        Without the extra `formats` (h5py).
    """
    h5py = need("h5py", "formats")
    try:
        with h5py.File(file, "r") as nwb:
            yield nwb
    except (OSError, RuntimeError) as err:
        reason = " ".join(str(err).split())
        raise RecordingError(
            f"{file} cannot be read ({reason})", "a complete NWB file", "copy or download it again"
        ) from err


def series_of(nwb: Any, name: str, file: Path) -> Any:
    """A series of the acquisition.

    Raises
    ------
    RecordingError
        If there is none of that name; lists those there are.
    """
    acquisition = nwb.get("acquisition", {})
    if name not in acquisition:
        found = ", ".join(sorted(acquisition)) or "nothing"
        raise RecordingError(
            f"{file} has no series '{name}'; its acquisition holds {found}",
            "the series iEEG, Audio and Stimulus",
        )
    return acquisition[name]


def data_of(series: Any, name: str, dimensions: tuple[int, ...], kinds: str = "iuf") -> Any:
    """The dataset `data` of a series.

    Parameters
    ----------
    dimensions : how many it may have.
    kinds : numpy's letters of the types it may hold; numbers by default.

    Raises
    ------
    RecordingError
        If it is missing, or of another shape or type.
    """
    data = series.get("data") if hasattr(series, "get") else None
    if data is None or not hasattr(data, "shape"):
        raise RecordingError(
            f"series '{name}' holds no data", "a dataset 'data' in it", "export the file again"
        )
    if len(data.shape) not in dimensions:
        wanted = " or ".join("(samples, channels)" if n == 2 else "(samples,)" for n in dimensions)
        raise RecordingError(f"{name} has shape {data.shape}", wanted)
    if data.dtype.kind not in kinds:
        raise RecordingError(f"{name} holds values of type {data.dtype}", "numbers")
    return data


def clock_of(series: Any, samples: int, name: str) -> tuple[SeriesClock, int]:
    """Clock of a series, by `timestamps` or start and rate; and how many samples have one.

    Raises
    ------
    RecordingError
        If it has neither.
    """
    if "timestamps" in series:
        count = min(samples, len(series["timestamps"]))
        return measured_clock(series["timestamps"], count), count
    if "starting_time" in series and series["starting_time"].attrs.get("rate", 0) > 0:
        start = series["starting_time"]
        rate = float(start.attrs["rate"])
        return SeriesClock(float(start[()]), rate, rate), samples
    raise RecordingError(f"series '{name}' has neither timestamps nor a rate", "one of them")


def check_steady(clock: SeriesClock, fs: Fraction | float, name: str) -> None:
    """Refuse a clock that audio and sEEG cannot be aligned by.

    Raises
    ------
    RecordingError
        If it jumps, or runs at another rate than its samples stand apart.
    """
    if clock.jump_s:
        raise RecordingError(
            f"the timestamps of {name} jump by {clock.jump_s:.3f} s, "
            f"{clock.jump_at_s:.1f} s after their start",
            "a recording without gaps: what follows would not match the audio",
            "cut the recording there",
        )
    if abs(clock.effective_hz / float(fs) - 1) > _CLOCK_TOLERANCE:
        raise RecordingError(
            f"the timestamps of {name} stand 1/{float(fs):g} s apart, "
            f"but {clock.effective_hz:.2f} come in a second",
            "the same rate by both, within 0.1 %",
            "correct the timestamps",
        )


def text_of(value: Any) -> str:
    """A string of HDF5, whichever way it is stored."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
