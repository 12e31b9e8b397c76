"""Read a recording, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.errors import RecordingError, SettingsError
from realtime.recordings.amplitude import Unit
from realtime.recordings.files import files_read
from realtime.recordings.finish import finished
from realtime.recordings.micromed import open_micromed
from realtime.recordings.mne_files import open_mne
from realtime.recordings.nwb import read_nwb
from realtime.recordings.options import Options
from realtime.recordings.recording import Recording
from realtime.recordings.sidecars import channels_of
from realtime.recordings.source import recorded

BIDS_SUFFIXES = (".nwb", ".edf", ".vhdr", ".set", ".fif", ".mefd")
_XDF = (".xdf", ".xdfz")


def read_recording(
    path: Path | str,
    *,
    audio: Path | str | None = None,
    audio_offset_s: float = 0.0,
    events: Path | str | None = None,
    unit: Unit | None = None,
    contacts: Sequence[str] | None = None,
    bad_contacts: Sequence[str] = (),
    line_hz: float | None = None,
    seeg_stream: str | None = None,
    audio_stream: str | None = None,
    marker_stream: str | None = None,
) -> Recording:
    """Read a recording: NWB, XDF, Micromed TRC, and what MNE-Python reads.

    Memory: one piece (8 MiB) and what the format's library needs, beside the samples themselves;
    those beyond 256 MiB, and the audio likewise, live in an unlinked temporary file (TMPDIR).

    Parameters
    ----------
    path : a file, or a folder that holds exactly one `*_ieeg` file. BIDS sidecars beside or above
        it (`X_channels.tsv`, `X_events.tsv`, `X_ieeg.json` of `X_ieeg.edf` or `X.edf`) are read.
        NWB is the layout of SingleWordProductionDutch-iBIDS; without sidecars its names come from
        the NWB electrodes and its trials from `Stimulus`.
    audio : a WAV, FLAC or other sound file, instead of what the recording itself holds.
    audio_offset_s : time of the first sample of `audio`, counted from the first sEEG sample.
    events : an events.tsv instead of the sidecar.
    unit : what one unit of the numbers in the file is, instead of what the file says: a name, or
        microvolts. For formats without a unit of their own (FIF) they are volts.
    contacts : channels to take, in this order, instead of those that are contacts by type or name.
    bad_contacts : more than those that channels.tsv marks.
    line_hz : instead of `PowerLineFrequency`.
    seeg_stream, audio_stream, marker_stream : names of streams in an XDF file; the only ones of
        their kind by default.

    Raises
    ------
    RecordingError
        If the file is missing, damaged, discontinuous, contradicts its sidecars, has no or an
        implausible unit or labels that are not unique, or does not overlap with its audio. What
        can be read in spite of a fault is, and `notes` says so.
    MontageError
        If `unit` is none.
    SettingsError
        If options do not go together.
    MissingExtraError
        Without the extra `formats`.
    """
    options = Options(
        audio=None if audio is None else Path(audio),
        audio_offset_s=audio_offset_s,
        events=None if events is None else Path(events),
        unit=unit,
        contacts=None if contacts is None else tuple(contacts),
        bad_contacts=tuple(bad_contacts),
        line_hz=line_hz,
    )
    file = find_recording(Path(path))
    streams = (seeg_stream, audio_stream, marker_stream)
    _check_options(file, options, streams)
    measured = file.suffix.lower() in (".nwb", *_XDF)
    found = finished(_read(file, options, streams), options, measured=measured)
    return replace(found, files=files_read(file, options, found.files))


def listed_channels(path: Path | str) -> tuple[str, ...] | None:
    """Names of all channels that channels.tsv lists for a recording, contacts or not.

    None without that table.

    Raises
    ------
    RecordingError
        If the recording is missing, or a name stands in the table twice.
    """
    return tuple(channels_of(find_recording(Path(path)))) or None


def _read(file: Path, options: Options, streams: tuple[str | None, ...]) -> Recording:
    suffix = file.suffix.lower()
    if suffix == ".nwb":
        return read_nwb(file, options)
    if suffix in _XDF:
        from realtime.recordings.xdf import read_xdf

        return read_xdf(file, *streams, options=options)
    source = open_micromed(file) if suffix == ".trc" else open_mne(file, options)
    return recorded(source, options)


def _check_options(file: Path, options: Options, streams: tuple[str | None, ...]) -> None:
    if options.audio_offset_s and options.audio is None:
        raise SettingsError("an offset of the audio without an audio file", "both, or none")
    is_xdf = file.suffix.lower() in _XDF
    if any(streams) and not is_xdf:
        raise SettingsError(f"streams were named, but {file.name} is no XDF file", "no streams")


def find_recording(path: Path) -> Path:
    """The file of a recording: itself, or the only `*_ieeg` file below a folder.

    Raises
    ------
    RecordingError
        If there is none, or there are several.
    """
    if path.suffix.lower() == ".eeg" and path.with_suffix(".vhdr").is_file():
        return path.with_suffix(".vhdr")
    if path.is_file() or (path.suffix.lower() in BIDS_SUFFIXES and path.exists()):
        return path
    if not path.exists():
        raise RecordingError(f"{path} does not exist", "a recording or a BIDS folder")
    files = sorted(f for f in path.rglob("*_ieeg.*") if f.suffix.lower() in BIDS_SUFFIXES)
    if len(files) == 1:
        return files[0]
    if not files:
        kinds = ", ".join(BIDS_SUFFIXES)
        raise RecordingError(f"no *_ieeg file ({kinds}) below {path}", "a BIDS-iEEG folder")
    shown = ", ".join(str(f.relative_to(path)) for f in files[:12])
    raise RecordingError(
        f"{len(files)} recordings below {path}: {shown}", "one", "name one of them"
    )
