"""A recording as training takes it: read with the experiment's options, cut to where sound is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.errors import SettingsError
from realtime.recordings import Recording, common_span, read_recording
from training.settings import ExperimentSettings

MAINS_HZ = (50, 60)
_SLACK_S = 0.05


def read_for(path: Path, settings: ExperimentSettings) -> Recording:
    """Read with the options of the table `[recording]`.

    Where sound begins later or ends earlier than the sEEG, the recording is cut to what both
    cover, and says so: silence must not be taught where nothing was recorded.

    Raises
    ------
    RecordingError
        As `realtime.recordings.read_recording`; also if there is no audio.
    """
    recording = read_recording(path, **settings.recording.model_dump())
    return recording if _covered(recording) else common_span(recording)


def _covered(recording: Recording) -> bool:
    end_s = recording.audio_start_s + len(recording.audio) / recording.audio_rate
    return recording.audio_start_s <= _SLACK_S and end_s >= recording.seconds - _SLACK_S


def settings_for(recording: Recording, settings: ExperimentSettings) -> ExperimentSettings:
    """The settings with what the recording itself says: its bad contacts, its line frequency.

    A line frequency that the settings name wins.

    Raises
    ------
    SettingsError
        If the recording names a line frequency that there is no notch for.
    """
    front_end = settings.front_end
    update: dict[str, Any] = {}
    bad = dict.fromkeys((*front_end.bad_contacts, *recording.bad_contacts))
    if tuple(bad) != front_end.bad_contacts:
        update["bad_contacts"] = tuple(bad)
    told = "line_hz" in front_end.model_fields_set
    if recording.line_hz is not None and not told and recording.line_hz != front_end.line_hz:
        if recording.line_hz not in MAINS_HZ:
            raise SettingsError(
                f"{recording.path} states a line frequency of {recording.line_hz:g} Hz",
                "50 or 60 Hz",
                "set front_end.line_hz, 0 for no notch",
            )
        update["line_hz"] = int(recording.line_hz)
    if not update:
        return settings
    return settings.model_copy(update={"front_end": front_end.model_copy(update=update)})
