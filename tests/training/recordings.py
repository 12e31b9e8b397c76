"""A short simulated recording on disk, without a speech engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from training.nwb import write_recording
from training.patient import PatientSettings, simulate
from training.speech import Utterance


def tiny_recording(
    folder: Path,
    minutes: float = 0.5,
    seed: int = 0,
    *,
    shafts: int = 2,
    subject: str = "sub-01",
    silent: bool = False,
    **changed: object,
) -> Path:
    """NWB of a small simulated patient with a strong signal; harmonic tones stand for speech.

    `changed` are other settings of the patient.
    """
    rng = np.random.default_rng(seed)
    said = []
    for i in range(12):
        t = np.arange(int(16_000 * rng.uniform(0.8, 1.6))) / 16_000
        f0 = rng.uniform(100, 220)
        swell = np.sin(np.pi * t / t[-1]) ** 2
        tone = sum(np.sin(2 * np.pi * f0 * k * t) / k for k in range(1, 12))
        said.append(Utterance(f"tone {i}", (0.2 * swell * tone).astype(np.float32), 16_000, None))
    usual = {
        "seed": seed,
        "minutes": minutes,
        "session": "sentences",
        "repeat_speech": True,
        "gain": 3.0,
        "shafts": shafts,
        "contacts_per_shaft": 4,
        "informative": 0.5,
        "dead_contacts": 0,
        "saturated_contacts": 0,
    }
    settings = PatientSettings.model_validate({**usual, **changed})
    recording = simulate(settings, said).recording
    if silent:
        recording = replace(recording, audio=np.zeros_like(recording.audio))
    return write_recording(recording, folder / "patient", subject)
