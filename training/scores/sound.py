"""Scores that need sound: intelligibility, mel-cepstral distortion, voicing and pitch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.hops import HOP
from models.streaming import Floats
from training.scores.arrays import Mask, Mels
from training.scores.cepstra import distortion_db, warped_distortion_db
from training.scores.intelligibility import stoi_pair
from training.scores.voicing import log_f0_r, track_pitch, voicing_error


@dataclass(frozen=True)
class SoundScores:
    """Scores of a reconstruction against the original.

    `stoi`, `estoi`; `mcd_db` and `mcd_dtw_db` over the original's speech frames, dB;
    `voicing_error` over all frames and `voicing_error_speech` over speech frames, shares;
    `log_f0_r`, None where fewer than ten frames are voiced in both.
    """

    stoi: float
    estoi: float
    mcd_db: float
    mcd_dtw_db: float
    voicing_error: float
    voicing_error_speech: float
    log_f0_r: float | None


def sound_scores(
    audio: tuple[Floats, Floats],
    rate_hz: int,
    mels: tuple[Mels, Mels],
    spoken: Mask,
    hop_s: float = float(HOP),
) -> SoundScores:
    """All of them for one pair, original first.

    Parameters
    ----------
    audio : original and reconstruction `(n,)` at `rate_hz`, aligned; the longer one is cut.
    mels : their log-mels `(frames, 80)`, `hop_s` apart.
    spoken : mask of the original's speech frames, `(frames,)`.

    Raises
    ------
    SettingsError
        If there is too little speech.
    """
    samples = min(map(len, audio))
    original, copy = (signal[:samples] for signal in audio)
    stoi, estoi = stoi_pair(original, copy, rate_hz)
    pitches = track_pitch(original, rate_hz, hop_s), track_pitch(copy, rate_hz, hop_s)
    frames = min(len(spoken), len(pitches[0].voiced))
    speech = np.zeros(len(pitches[0].voiced), bool)
    speech[:frames] = spoken[:frames]
    return SoundScores(
        stoi,
        estoi,
        distortion_db(*mels, spoken),
        warped_distortion_db(*mels, spoken, hop_s=hop_s),
        voicing_error(*pitches),
        voicing_error(*pitches, speech),
        log_f0_r(*pitches),
    )
