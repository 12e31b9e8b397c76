"""Read a recording from an XDF file, as LabRecorder writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.errors import RecordingError
from realtime.recordings.clocks import Doubles, snapped, stated
from realtime.recordings.contacts import Channel
from realtime.recordings.options import Options
from realtime.recordings.recording import Recording
from realtime.recordings.sound import Sound, full_scale, mixed
from realtime.recordings.source import Source, recorded
from realtime.recordings.xdf_file import XdfFile, listed
from realtime.recordings.xdf_grid import Grid, Survey
from realtime.recordings.xdf_header import STRING, XdfHeader
from realtime.recordings.xdf_trials import Mark, marked

_NEURAL = frozenset({"eeg", "seeg", "ieeg", "ecog"})
_DEFAULT = Options()
_NOTED_PPM, _MOST_PPM = 500, 20_000
_WANDER_S = 0.005
_BLIND_S = 0.002


def read_xdf(
    path: Path | str,
    seeg: str | None = None,
    audio: str | None = None,
    markers: str | None = None,
    *,
    options: Options = _DEFAULT,
) -> Recording:
    """Read sEEG, audio and trials from an XDF file.

    All streams are put on the recorder's clock by their clock offsets (see `xdf_clock`), then on
    the sEEG clock, where one second is `fs` samples. sEEG stands on a regular grid: samples lost
    on the way are rows of NaN, so that time stays true; lost audio is silence. A reset of a
    stream's clock is followed if there are clock offsets on both sides, else the file is refused.

    Parameters
    ----------
    path : an `.xdf` or `.xdfz` file.
    seeg : name of the sEEG stream; by default the only one of type EEG, sEEG, iEEG or ECoG.
    audio : name of the audio stream; by default the only one of type Audio or with `audio` in its
        name. Without one the recording has no audio.
    markers : name of the marker stream; by default the only one of type Markers that tells
        trials, by pairs such as `start;house` and `end;house` (see `xdf_trials`).
    options : unit, contacts and events to take instead of what the file says.

    Raises
    ------
    RecordingError
        If the file is no XDF, no stream or several could be meant, the sEEG has no samples,
        labels or units, its rate is not the stated one, or its clock cannot be followed.
    """
    with XdfFile(path) as file:
        neural = _one(file, seeg, _is_neural, "sEEG (type EEG, sEEG, iEEG or ECoG)")
        if neural is None:
            raise RecordingError(
                f"{file.path} has no sEEG stream; it holds {listed(file.streams)}",
                "a stream of type EEG, sEEG, iEEG or ECoG",
                "name the stream that is sEEG",
            )
        sound = _one(file, audio, _is_audio, "audio")
        placed = _placed(file, neural)
        clock = _SeegClock.of(neural, placed.grid)
        marks, notes = _marks(file, markers, clock)
        source = _source(file, neural, placed, clock, marks)
        recording = recorded(source, options)
        if sound is not None and options.audio is None:
            recording = _with_audio(recording, file, sound, clock)
    return replace(recording, notes=(*file.notes, *recording.notes, *notes))


@dataclass(frozen=True)
class _SeegClock:
    """The clock on which one second is `rate_hz` samples of sEEG."""

    start_s: float
    rate_hz: float
    stretch: float

    @staticmethod
    def of(header: XdfHeader, grid: Grid) -> _SeegClock:
        rate_hz = float(stated(header.rate) if header.rate else snapped(grid.rate))
        return _SeegClock(grid.start_s, rate_hz, grid.rate / rate_hz)

    def seconds(self, recorder_s: Doubles) -> Doubles:
        """Seconds since the first sEEG sample."""
        return (recorder_s - self.start_s) * self.stretch


@dataclass(frozen=True)
class _Placed:
    """A stream of numbers on its grid; `fill` stands where samples are lost."""

    file: XdfFile
    header: XdfHeader
    grid: Grid
    fill: float

    def read(self, start: int, stop: int) -> Doubles:
        """Rows `start` to `stop`, `(n, channels)`."""
        out = np.full((stop - start, self.header.channels), self.fill)
        for begin, end, sample in self.grid.parts():
            low, high = max(begin, start), min(end, stop)
            if low < high:
                first = sample + low - begin
                values = self.file.read(self.header.id, first, first + high - low)
                out[low - start : high - start] = values
        return out


def _placed(file: XdfFile, header: XdfHeader, fill: float = np.nan) -> _Placed:
    what, samples = f"stream {header} of {file.path}", file.samples(header.id)
    if header.format == STRING or samples < 2:
        raise RecordingError(f"{what} has {samples} samples of {header.format}", "numbers")
    rate = header.rate or _rough_rate(file, header)
    survey = Survey(what, rate)
    for piece in file.pieces(header.id):
        survey.add(piece.stamps)
    grid = survey.grid()
    ppm = (grid.rate / rate - 1) * 1e6
    if abs(ppm) > _MOST_PPM:
        raise RecordingError(
            f"the timestamps of {what} say {grid.rate:.3f} Hz, its header {rate:g} Hz",
            "the same within 2 %",
            "find out which is true and correct the file",
        )
    return _Placed(file, header, grid, fill)


def _rough_rate(file: XdfFile, header: XdfHeader) -> float:
    last = file.samples(header.id) - 1
    ends = [float(next(file.pieces(header.id, at, at + 1)).stamps[0]) for at in (0, last)]
    if ends[1] <= ends[0]:
        raise RecordingError(f"the timestamps of {header} never advance", "rising timestamps")
    return last / (ends[1] - ends[0])


def _grid_notes(placed: _Placed) -> list[str]:
    grid, name, notes = placed.grid, f"stream '{placed.header.name}'", []
    if grid.lost:
        widths = grid.gaps[grid.gaps[:, 1] > 0, 1]
        filled = "NaN" if np.isnan(placed.fill) else "silence"
        notes.append(
            f"{name}: {grid.lost} samples ({grid.lost / grid.rate:.3g} s) are lost in "
            f"{len(widths)} gaps, the longest {widths.max() / grid.rate:.3g} s; {filled} instead"
        )
    if grid.doubled:
        notes.append(f"{name}: {grid.doubled} samples that overlap earlier ones were left out")
    ppm = (grid.rate / placed.header.rate - 1) * 1e6 if placed.header.rate else 0.0
    if abs(ppm) > _NOTED_PPM:
        notes.append(f"{name}: its clock runs {ppm:+.0f} ppm off the stated rate")
    if grid.threshold_s > _BLIND_S:
        notes.append(
            f"{name}: losses of less than {grid.threshold_s * 1e3:.1f} ms could not be told from "
            "the jitter of its timestamps"
        )
    if grid.wander_s > _WANDER_S:
        notes.append(
            f"{name}: its timestamps wander by up to {grid.wander_s * 1e3:.1f} ms from a steady "
            "clock"
        )
    return notes


def _source(
    file: XdfFile, header: XdfHeader, placed: _Placed, clock: _SeegClock, marks: list[Mark]
) -> Source:
    unnamed = sum(not label for label in header.labels)
    if unnamed:
        raise RecordingError(
            f"stream {header} of {file.path} does not name {unnamed} of its channels",
            "a label for each (desc/channels/channel/label)",
            "let the sender name its channels",
        )
    # XDF says iEEG of what BIDS calls SEEG.
    types = ["SEEG" if kind.casefold() == "ieeg" else kind for kind in header.types]
    return Source(
        file=file.path,
        rate_hz=clock.rate_hz,
        samples=placed.grid.rows,
        channels=[Channel(*pair) for pair in zip(header.labels, types, strict=True)],
        units=list(header.units),
        read=lambda places, start, stop: placed.read(start, stop)[:, places],
        marks=marks,
        notes=tuple(_grid_notes(placed)),
    )


def _with_audio(
    recording: Recording, file: XdfFile, header: XdfHeader, clock: _SeegClock
) -> Recording:
    placed = _placed(file, header, fill=0.0)
    sound = _sound(placed)
    start = float(clock.seconds(np.array(placed.grid.start_s)))
    return replace(
        recording,
        audio=sound.samples,
        audio_rate=sound.rate / clock.stretch,
        audio_start_s=start,
        notes=(*recording.notes, *_grid_notes(placed), *sound.notes),
    )


def _sound(placed: _Placed) -> Sound:
    kind = placed.header.format
    factor = 2.0 ** (1 - int(kind[3:])) if kind.startswith("int") else 1.0
    shape = (placed.grid.rows, placed.header.channels)
    samples, notes = mixed(shape, lambda start, stop: placed.read(start, stop) * factor)
    return Sound(samples if factor < 1 else full_scale(samples), placed.grid.rate, notes)


def _marks(file: XdfFile, name: str | None, clock: _SeegClock) -> tuple[list[Mark], list[str]]:
    """Trials of the one marker stream that tells some, and notes on markers that do not."""
    streams = [h for h in file.streams if (h.name == name if name else _is_markers(h))]
    if name and not streams:
        raise _missing(file, name, "markers")
    told = {header.name: _marks_of(file, header, clock) for header in streams}
    telling = [key for key, (marks, _) in told.items() if marks]
    if len(telling) > 1:
        raise RecordingError(
            f"the streams {', '.join(telling)} of {file.path} all tell trials",
            "one marker stream",
            "name the one to take",
        )
    notes = [f"stream '{key}': {note}" for key, (_, more) in told.items() for note in more]
    return (told[telling[0]][0] if telling else []), notes


def _marks_of(file: XdfFile, header: XdfHeader, clock: _SeegClock) -> tuple[list[Mark], list[str]]:
    pieces = list(file.pieces(header.id))
    times = [float(t) for piece in pieces for t in clock.seconds(piece.stamps)]
    return marked(times, [";".join(row) for piece in pieces for row in piece.texts])


def _one(
    file: XdfFile, name: str | None, fits: Callable[[XdfHeader], bool], what: str
) -> XdfHeader | None:
    """The stream of that name, or the only one with samples that fits; None if none does."""
    if name is not None:
        found = [header for header in file.streams if header.name == name]
        if not found:
            raise _missing(file, name, what)
    else:
        found = [header for header in file.streams if fits(header)]
    # A stream that was found again during the recording leaves an empty twin.
    found = [header for header in found if file.samples(header.id)] or found
    if len(found) > 1:
        raise RecordingError(
            f"{len(found)} streams of {file.path} could be the {what}: {listed(tuple(found))}",
            "one",
            "name the one to take",
        )
    return found[0] if found else None


def _missing(file: XdfFile, name: str, what: str) -> RecordingError:
    return RecordingError(
        f"{file.path} has no stream '{name}'", f"the {what} among {listed(file.streams)}"
    )


def _is_neural(header: XdfHeader) -> bool:
    return header.type.casefold() in _NEURAL and header.format != STRING


def _is_audio(header: XdfHeader) -> bool:
    named = header.type.casefold() == "audio" or "audio" in header.name.casefold()
    return named and header.format != STRING


def _is_markers(header: XdfHeader) -> bool:
    return header.type.casefold() == "markers"
