"""A patient's own voice out of a recording: what training may hear of it."""

from __future__ import annotations

from pathlib import Path

from models.errors import RecordingError, need
from realtime.recordings import audio_at
from training.reading import read_for
from training.scores import split_trials
from training.settings import ExperimentSettings

RATE = 22_050


def patient_speech(recording: Path, file: Path) -> None:
    """Write the sound of a recording's training part as a WAV.

    The last trials, which `seegvox train` holds out, stay unheard: a vocoder that knew how they
    sounded would flatter every score on them.

    Raises
    ------
    RecordingError
        If it has no sound or no trials.
    """
    soundfile = need("soundfile", "formats")
    settings = ExperimentSettings()
    read = read_for(recording, settings)
    if not read.trials:
        raise RecordingError(
            f"{recording} has no trials", "trials, so that the last can be left out"
        )
    part = split_trials(read, settings.test_fraction).train
    sound = audio_at(read, RATE)
    first, last = (round(n / read.fs * RATE) for n in (part.start, part.stop))
    soundfile.write(file, sound[first:last], RATE, subtype="PCM_16")
