"""A recording of any kind, opened as streams."""

from __future__ import annotations

from pathlib import Path

from models.errors import SettingsError
from realtime.record.layout import INDEX
from realtime.recordings.read import find_recording
from realtime.units import microvolts_per_unit
from tools.replay.streams import Opened

_XDF = (".xdf", ".xdfz")


def open_streams(path: Path, unit: str | None = None) -> Opened:
    """Open XDF, NWB, what MNE reads, Micromed TRC, a BIDS folder with one recording, or a session.

    Parameters
    ----------
    unit : of the sEEG, instead of what the file says.

    Raises
    ------
    MontageError
        If `unit` is none.
    SettingsError
        If it is a session, whose unit is known.
    RecordingError
        If it is missing, damaged, or holds nothing that can be streamed.
    MissingExtraError
        Without the extra `formats`, where the format needs it.
    """
    if unit is not None:
        microvolts_per_unit(unit)
    folder = path.parent if path.name == INDEX else path
    if (folder / INDEX).is_file():
        from tools.replay.session import open_recorded

        if unit is not None:
            raise SettingsError("--unit for a session", "none: it is in microvolts", "leave it out")
        return open_recorded(folder)
    file = find_recording(path)
    if file.suffix.lower() in _XDF:
        from tools.replay.xdf import open_xdf

        return open_xdf(file, unit)
    if file.suffix.lower() == ".nwb":
        from tools.replay.nwb import open_nwb

        return open_nwb(file, unit)
    from tools.replay.neuro import open_neuro

    return open_neuro(file, unit)
