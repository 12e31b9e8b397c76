"""The simulated patient: speech drives contacts; everything else is noise, and the truth is kept.

    settings.py    what can be chosen
    session.py     when what is said; the audio of the session
    drive.py       what speech does to an informative contact
    contacts.py    which contacts are informative, their lags and weights
    background.py  what contacts record without speech
    artefacts.py   what goes wrong in a real recording
    simulate.py    all of it together
    calibrate.py   gain against the score of the frozen linear baseline

Scores on a simulated patient are regression figures for software, never evidence about patients.
"""

from training.patient.settings import DEFAULT_GAIN, PatientSettings
from training.patient.simulate import Simulation, Truth, simulate

__all__ = ["DEFAULT_GAIN", "PatientSettings", "Simulation", "Truth", "simulate"]
