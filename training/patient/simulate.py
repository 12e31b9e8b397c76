"""All of the simulated patient together: settings and speech in, recording and truth out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BusyOutputError
from realtime.recordings import Recording
from training.patient import artefacts, background, contacts
from training.patient.drive import GRID_HZ, SpeechFeatures, contact_drive, features
from training.patient.session import AUDIO_CLOCK_HZ, Placed, compose, schedule
from training.patient.settings import PatientSettings
from training.speech import Utterance


@dataclass(frozen=True)
class Truth:
    """What a decoder must not see: how the recording was made."""

    settings: PatientSettings
    labels: tuple[str, ...]
    informative: contacts.Informative
    dead: tuple[str, ...]
    saturated: tuple[str, ...]
    leaked: tuple[str, ...]
    spoken: tuple[tuple[float, float, str], ...]
    """Onset and length in seconds, and text, of what really sounded."""
    speech_source: str

    def as_json(self) -> dict[str, Any]:
        """The truth as plain values."""
        found = self.informative
        each = zip(found.columns, found.lags_s, found.strengths, found.weights, strict=True)
        return {
            "note": "simulated patient: figures on it test software and say nothing about patients",
            "settings": self.settings.model_dump(),
            "speech_source": self.speech_source,
            "informative": [
                {
                    "contact": self.labels[column],
                    "lag_s": float(lag),
                    "strength": float(strength),
                    "weights": dict(zip(contacts.CLASSES, map(float, weights), strict=True)),
                }
                for column, lag, strength, weights in each
            ],
            "dead": list(self.dead),
            "saturated": list(self.saturated),
            "leaked": list(self.leaked),
            "spoken": [{"onset_s": a, "duration_s": b, "text": c} for a, b, c in self.spoken],
        }

    def write(self, path: Path, overwrite: bool = False) -> None:
        """Store the truth as JSON.

        Raises
        ------
        BusyOutputError
            If the file exists and `overwrite` is false.
        """
        if path.exists() and not overwrite:
            raise BusyOutputError(f"{path} exists", "a new file", "choose another name")
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(self.as_json(), indent=1), encoding="utf-8")
        partial.replace(path)


@dataclass(frozen=True)
class Simulation:
    """A simulated recording and how it was made."""

    recording: Recording
    truth: Truth


def simulate(
    settings: PatientSettings, speech: Sequence[Utterance] | None = None, voice: str = "nl"
) -> Simulation:
    """Simulate a patient who speaks while sEEG is recorded.

    Parameters
    ----------
    settings : see `PatientSettings`.
    speech : own utterances; None lets espeak-ng speak (needs the extra `speech`).
    voice : espeak-ng voice, `nl` by default.

    Returns
    -------
    `Simulation`: sEEG `(samples, contacts)` float32 in microvolts, audio on a clock of
    47 999.19 Hz, trials in seconds from the first sEEG sample, and the truth.

    Raises
    ------
    SettingsError
        If the speech does not fit the session, or espeak-ng cannot speak.
    """
    placed = schedule(settings, speech, voice)
    samples = round(settings.minutes * 60 * settings.fs_hz)
    audio = compose(placed, samples / settings.fs_hz, settings.seed)
    heard = features(placed, audio, samples / settings.fs_hz)
    informative = contacts.choose_informative(settings)
    seeg = _neural(settings, samples, heard, informative)
    truth = _spoil(seeg, settings, placed, audio, informative, heard)
    recording = Recording(
        path=Path(),
        seeg=seeg,
        fs=Fraction(settings.fs_hz),
        labels=truth.labels,
        audio=audio,
        audio_rate=AUDIO_CLOCK_HZ,
        audio_start_s=0.0,
        trials=tuple(item.trial for item in placed),
    )
    source = f"espeak-ng, voice {voice}" if speech is None else f"{len(speech)} recorded utterances"
    return Simulation(recording, Truth(**{**vars(truth), "speech_source": source}))


def _neural(
    settings: PatientSettings,
    samples: int,
    heard: SpeechFeatures,
    informative: contacts.Informative,
) -> NDArray[np.float32]:
    """Background, carriers, mains and amplifier, shaft by shaft to bound the memory."""
    log_gain = np.zeros((len(heard.active), settings.contacts))
    drive = contact_drive(heard, informative, settings.rho)
    log_gain[:, informative.columns] = settings.gain * informative.strengths * drive
    seeg = np.empty((samples, settings.contacts), np.float32)
    shared = background.reference(settings, samples)[:, None]
    for shaft in range(settings.shafts):
        start = shaft * settings.contacts_per_shaft
        columns = slice(start, start + settings.contacts_per_shaft)
        part = background.shaft_background(settings, samples, shaft) + shared
        part += background.modulated_carriers(settings, samples, shaft, log_gain[:, columns])
        part += background.mains(settings, samples, shaft)
        part += background.amplifier(settings, samples, shaft)
        seeg[:, columns] = part
    return seeg


def _spoil(
    seeg: NDArray[np.float32],
    settings: PatientSettings,
    placed: Sequence[Placed],
    audio: NDArray[np.float32],
    informative: contacts.Informative,
    heard: SpeechFeatures,
) -> Truth:
    """Add the artefacts in place; returns the truth, its source of speech still open."""
    names = contacts.labels(settings)
    dead, saturated = contacts.choose_faulty(settings, informative)
    grid = (np.arange(len(seeg)) * GRID_HZ // settings.fs_hz).astype(np.int64)
    artefacts.multiply_gain_drift(seeg, settings)
    leaked = artefacts.add_leak(seeg, settings, audio, heard.active[grid] > 0)
    artefacts.add_drifts(seeg, settings)
    artefacts.add_spikes(seeg, settings)
    artefacts.add_bursts(seeg, settings)
    artefacts.add_evoked(seeg, settings, placed)
    artefacts.break_contacts(seeg, settings, dead, saturated)
    artefacts.convert(seeg)
    said = tuple((p.onset_s, p.utterance.seconds, p.utterance.text) for p in placed)

    def named(columns: NDArray[np.int64]) -> tuple[str, ...]:
        return tuple(names[c] for c in columns)

    return Truth(
        settings, names, informative, named(dead), named(saturated), named(leaked), said, ""
    )
