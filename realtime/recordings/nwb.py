"""NWB in the layout of SingleWordProductionDutch-iBIDS (Verwoert et al. 2022, Sci Data 9:434)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import RecordingError
from realtime.recordings.clocks import SeriesClock, snapped
from realtime.recordings.nwb_seeg import read_seeg
from realtime.recordings.nwb_series import (
    check_steady,
    clock_of,
    data_of,
    opened,
    series_of,
    text_of,
)
from realtime.recordings.options import Options
from realtime.recordings.recording import Recording, Trial
from realtime.recordings.scratch import Floats, pieces
from realtime.recordings.sidecars import sidecar
from realtime.recordings.sound import full_scale, mixed
from realtime.recordings.trials import inside, listed_trials

_WORDS_AT_ONCE = 16
"""Columns that one word counts for in a piece: strings of Python are large."""


def read_nwb(file: Path, options: Options) -> Recording:
    """Read an NWB file with the series iEEG, Audio and Stimulus; `read_recording` says more.

    Raises
    ------
    RecordingError
        If the file is damaged, lacks a series, names no unit of the sEEG, or contradicts its
        sidecars.
    MissingExtraError
        Without the extra `formats`.
    """
    with opened(file) as nwb:
        seeg, clock, labels, notes = read_seeg(nwb, file, options)
        fs = snapped(clock.typical_hz)
        check_steady(clock, fs, "iEEG")
        shown = _stimulus(nwb)
        trials = listed_trials(file, options.events) or _trials_shown(shown, fs)
        # On the sEEG clock one second is `fs` samples, whatever the wall clock says.
        stretch = clock.effective_hz / float(fs)
        audio, audio_clock = np.zeros(0, np.float32), clock
        if options.audio is None:
            audio, audio_clock, more = _read_audio(nwb, file)
            notes += more
    kept, more = inside(_found(trials, file), float(len(seeg) / fs))
    return Recording(
        path=file,
        seeg=seeg,
        fs=fs,
        labels=labels,
        audio=audio,
        audio_rate=audio_clock.effective_hz / stretch,
        audio_start_s=(audio_clock.start_s - clock.start_s) * stretch,
        trials=kept,
        notes=(*notes, *more),
    )


def _read_audio(nwb: Any, file: Path) -> tuple[Floats, SeriesClock, list[str]]:
    series = series_of(nwb, "Audio", file)
    data = data_of(series, "Audio", (1, 2))
    clock, count = clock_of(series, len(data), "Audio")
    check_steady(clock, clock.typical_hz, "Audio")
    scale = 2.0 ** (8 * data.dtype.itemsize - 1) if data.dtype.kind == "i" else 1.0

    def read(start: int, stop: int) -> NDArray[Any]:
        block = np.asarray(data[start:stop], np.float64).reshape(stop - start, -1)
        block /= scale
        return block

    sound, notes = mixed((count, 1 if data.ndim == 1 else data.shape[1]), read)
    return full_scale(sound), clock, list(notes)


def _stimulus(nwb: Any) -> Any:
    """The word shown at each sEEG sample; empty where the file has no such series."""
    series = nwb.get("acquisition", {}).get("Stimulus")
    return [] if series is None else data_of(series, "Stimulus", (1,), "OSU")


def _trials_shown(data: Any, fs: Fraction) -> list[Trial]:
    trials, shown, since = [], "", 0
    for start, stop in pieces(len(data), _WORDS_AT_ONCE):
        words = [
            *(text_of(word) for word in data[start:stop]),
            *([""] if stop == len(data) else []),
        ]
        for i, word in enumerate(words, start):
            if word != shown:
                if shown:
                    trials.append(Trial(float(since / fs), float((i - since) / fs), shown))
                shown, since = word, i
    return trials


def _found(trials: list[Trial], file: Path) -> list[Trial]:
    if not trials:
        raise RecordingError(
            f"{file} has no trials",
            f"{sidecar(file, 'events').name} beside it, or a Stimulus series with words",
        )
    return trials
