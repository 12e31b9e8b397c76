"""Recordings of sEEG with speech, whatever file they come from.

recording.py   what a recording is
read.py        the way in, for every format
nwb.py, mne_files.py (edf.py, brainvision.py), micromed.py, xdf*.py   one format each
source.py      from an opened file to a recording
finish.py      what every recording goes through
files.py       which files it came from, and their hash
contacts.py, amplitude.py, clocks.py, trials.py, sidecars.py, sound.py, scratch.py   parts
"""

from realtime.recordings.clocks import STANDARD_RATES_HZ, SeriesClock, measured_clock, snapped
from realtime.recordings.files import content_sha256
from realtime.recordings.finish import common_span
from realtime.recordings.read import listed_channels, read_recording
from realtime.recordings.recording import Recording, Trial
from realtime.recordings.sound import audio_at

__all__ = [
    "Recording",
    "STANDARD_RATES_HZ",
    "SeriesClock",
    "Trial",
    "audio_at",
    "content_sha256",
    "common_span",
    "listed_channels",
    "measured_clock",
    "read_recording",
    "snapped",
]
