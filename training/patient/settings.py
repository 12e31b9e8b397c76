"""What can be chosen about a simulated patient."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.spec import Model

DEFAULT_GAIN = 0.38
"""The default difficulty: the frozen linear baseline scores on such patients what it scores on the
mean published one, r .70 by the paper's protocol (see `calibrate.py`)."""


class PatientSettings(Model):
    """Everything a simulated patient depends on, besides the speech itself.

    The same settings and speech give the same recording. Every component has a random stream of
    its own: two patients that differ in `gain` or `leak_db` share all of their noise.
    """

    seed: int = Field(0, ge=0)
    minutes: float = Field(6.0, gt=0.1, le=60)
    session: Literal["words", "sentences", "mixed"] = "words"
    repeat_speech: bool = False
    """Say utterances again once all were said. Training and held-out part then share utterances,
    so a decoder may score by knowing them; without it a session longer than its speech is refused.
    """
    fs_hz: Literal[512, 1000, 1024, 2000, 2048] = 1024
    shafts: int = Field(8, ge=1, le=16)
    contacts_per_shaft: int = Field(14, ge=4, le=18)

    gain: float = Field(DEFAULT_GAIN, ge=0)
    """Strength of the drive on log amplitude: 0 none, 0.3 a poor, 0.5 a mean, 1.1 a good one."""
    informative: float = Field(0.08, ge=0, le=1)
    """Fraction of contacts that follow speech."""
    rho: float = Field(0.2, ge=0, le=1)
    """Articulatory share of the drive; the rest is speech on/off and level."""
    beta_suppression: float = Field(0.5, ge=0)
    """Beta amplitude falls by exp(-beta_suppression * gain * drive) where high gamma rises."""
    leak_db: float | None = None
    """Audio leaked into a quarter of the contacts, dB against their high gamma; None: no leak."""

    carrier_uv: float = Field(1.5, ge=0)
    background_uv: float = Field(30.0, ge=0)
    amplifier_uv: float = Field(0.6, ge=0)
    beta_uv: float = Field(3.0, ge=0)
    mains_hz: Literal[50, 60] = 50
    mains_uv: float = Field(1.0, ge=0)

    drift_uv: float = Field(20.0, ge=0)
    """Standard deviation of drifts slower than 0.1 Hz."""
    spikes_per_minute: float = Field(4.0, ge=0)
    bursts_per_minute: float = Field(0.5, ge=0)
    """Movement bursts, independent of speech."""
    gain_drift: float = Field(0.1, ge=0)
    """Standard deviation of the slow drift of a contact's log amplification."""
    dead_contacts: int = Field(2, ge=0)
    saturated_contacts: int = Field(1, ge=0)
    evoked_uv: float = Field(0.0, ge=0)
    """Response to the visual cue (below 15 Hz); it predicts paced speech without being speech."""

    @property
    def contacts(self) -> int:
        """Number of contacts."""
        return self.shafts * self.contacts_per_shaft
