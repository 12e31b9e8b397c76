"""What a recording is: sEEG, audio and trials on one clock.

All times are seconds from the first sEEG sample, on the sEEG clock; the session clock of a file
(millions of seconds) stays inside its reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Trial:
    """One trial as the protocol knows it (a cue, not the sound).

    `onset_s` counts from the recording's first sEEG sample.
    """

    onset_s: float
    duration_s: float
    text: str


@dataclass(frozen=True)
class Recording:
    """sEEG and speech recorded together.

    Parameters
    ----------
    path : file it came from.
    seeg : `(samples, contacts)` float32, microvolts; a `numpy.memmap` of a temporary file if long.
        What is missing in the file is NaN.
    fs : nominal sampling rate, Hz.
    labels : name of each contact, no two the same.
    audio : `(n,)` float32, full scale 1.0; empty if none was recorded.
    audio_rate : effective rate of the audio on the sEEG clock, Hz.
    audio_start_s : time of the first audio sample.
    trials : in order of onset; trials without duration, or outside sEEG or audio, are left out.
    notes : what was unusual about the file, a sentence each.
    bad_contacts : those of `labels` that somebody marked bad, in the order of `labels`.
    line_hz : frequency of the mains where it was recorded, if the file says so.
    files : all that was read: `path`, its parts, sidecars, an audio file.
    """

    path: Path
    seeg: NDArray[np.float32]
    fs: Fraction
    labels: tuple[str, ...]
    audio: NDArray[np.float32]
    audio_rate: float
    audio_start_s: float
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()
    bad_contacts: tuple[str, ...] = ()
    line_hz: float | None = None
    files: tuple[Path, ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the sEEG."""
        return float(len(self.seeg) / self.fs)
