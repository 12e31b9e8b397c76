"""Honest scores of predicted log-mel frames: what is right, what silence alone would give, chance.

Arrays are `(frames, 80)` natural-log mels on the 15 ms hop grid, truth and prediction alike. All
functions are pure. What must be fitted (voice activity, templates, principal components) is fitted
on training truth and passed in. There is no option to shuffle frames: neighbouring frames are near
copies, and on a patient without any signal a shuffled split scores 0.98.

    pearson.py          correlation over time, of all frames or those of a mask
    activity.py         which frames are speech
    components.py       whitened components, where on/off is one of fifty
    lines.py            predictions without neural data
    chance.py           circular shifts, exchanged trials, retraining
    cepstra.py          mel-cepstral distortion, plain and warped
    intelligibility.py  STOI and ESTOI
    voicing.py          pitch and voicing
    sound.py            the scores that need sound, together
    confidence.py       intervals over folds
    splits.py           the held-out part of one recording
    table.py, text.py   all of it for a held-out part
"""

from training.scores.activity import fit_speech_threshold, loud_frames, speech_frames
from training.scores.arrays import Doubles, Mask, Mels, same_shape
from training.scores.cepstra import cepstra, distortion_db, warped_distortion_db, warping_path
from training.scores.chance import (
    SHIFT_S,
    Chance,
    retraining_chance,
    retraining_places,
    shift_chance,
    trial_chance,
)
from training.scores.components import COMPONENTS, MelComponents
from training.scores.confidence import UNITS, Interval, interval
from training.scores.intelligibility import stoi_pair
from training.scores.lines import Cues, cue_locked_average, mean_spectrum, speech_silence_oracle
from training.scores.pearson import bins_r, correlation, mel_r
from training.scores.sound import SoundScores, sound_scores
from training.scores.splits import GUARD_S, Split, sample_at, split_trials, stop_before
from training.scores.table import (
    CUE_LOCKED,
    MEAN,
    ORACLE,
    Reference,
    ScoreLine,
    ScoreTable,
    score_table,
    table_from_json,
    table_of,
)
from training.scores.text import format_table
from training.scores.voicing import Pitch, log_f0_r, track_pitch, voicing_error

__all__ = [
    "COMPONENTS",
    "CUE_LOCKED",
    "GUARD_S",
    "MEAN",
    "ORACLE",
    "SHIFT_S",
    "UNITS",
    "Chance",
    "Cues",
    "Doubles",
    "Interval",
    "Mask",
    "MelComponents",
    "Mels",
    "Pitch",
    "Reference",
    "ScoreLine",
    "ScoreTable",
    "SoundScores",
    "Split",
    "bins_r",
    "cepstra",
    "correlation",
    "cue_locked_average",
    "distortion_db",
    "fit_speech_threshold",
    "format_table",
    "interval",
    "log_f0_r",
    "loud_frames",
    "mean_spectrum",
    "mel_r",
    "retraining_chance",
    "retraining_places",
    "same_shape",
    "sample_at",
    "score_table",
    "shift_chance",
    "sound_scores",
    "speech_frames",
    "speech_silence_oracle",
    "split_trials",
    "stoi_pair",
    "stop_before",
    "table_from_json",
    "table_of",
    "track_pitch",
    "trial_chance",
    "voicing_error",
    "warped_distortion_db",
    "warping_path",
]
