"""What every recording goes through, whatever its format."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from models.errors import RecordingError
from realtime.recordings.contacts import brief
from realtime.recordings.options import Options
from realtime.recordings.recording import Recording
from realtime.recordings.scratch import blocks
from realtime.recordings.sidecars import amplifier, check_rate, line_hz, marked_bad
from realtime.recordings.sound import SILENT, peak, read_sound

_UNEVEN_S = 0.1
"""Audio and sEEG are never stopped at the same sample; what is shorter than this is not said."""
_SLACK_S = 0.05


def finished(recording: Recording, options: Options, *, measured: bool) -> Recording:
    """Add audio, bad contacts and the mains, and say what is unusual.

    Parameters
    ----------
    measured : whether the rate comes from timestamps, not from a header.

    Raises
    ------
    RecordingError
        If audio and sEEG do not overlap, the sidecars state another rate, or a bad contact is
        unknown.
    """
    notes = check_rate(recording.path, recording.fs, measured=measured)
    recording = _noted(recording, notes)
    recording = _with_sound(recording, options)
    recording = _with_sidecars(recording, options)
    recording = _noted(recording, _missing(recording))
    return _matched(recording) if len(recording.audio) else _noted(recording, ["it has no audio"])


def common_span(recording: Recording) -> Recording:
    """The part where sEEG and audio both are; times count from its first sample.

    Raises
    ------
    RecordingError
        If there is none, or no audio at all.
    """
    start_s, stop_s = _overlap(recording)
    first = -(-Fraction(start_s) * recording.fs // 1)  # rounded up
    last = min(len(recording.seeg), int(Fraction(stop_s) * recording.fs))
    shift = float(Fraction(first) / recording.fs)
    seconds = float((last - first) / recording.fs)
    trials = [replace(t, onset_s=t.onset_s - shift) for t in recording.trials]
    return replace(
        recording,
        seeg=recording.seeg[int(first) : last],
        audio_start_s=recording.audio_start_s - shift,
        trials=tuple(
            t for t in trials if t.onset_s >= 0 and t.onset_s + t.duration_s <= seconds + _SLACK_S
        ),
    )


def _with_sound(recording: Recording, options: Options) -> Recording:
    if options.audio is None:
        return recording
    sound = read_sound(options.audio)
    return replace(
        recording,
        audio=sound.samples,
        audio_rate=sound.rate,
        audio_start_s=options.audio_offset_s,
        notes=(*recording.notes, *sound.notes),
    )


def _with_sidecars(recording: Recording, options: Options) -> Recording:
    unknown = [name for name in options.bad_contacts if name not in recording.labels]
    if unknown:
        raise RecordingError(
            f"bad contacts that the recording does not have: {brief(unknown)}",
            f"some of: {brief(recording.labels)}",
            "correct the list of bad contacts",
        )
    bad = {*recording.bad_contacts, *marked_bad(recording.path), *options.bad_contacts}
    mains = (options.line_hz, line_hz(amplifier(recording.path)), recording.line_hz)
    return replace(
        recording,
        bad_contacts=tuple(label for label in recording.labels if label in bad),
        line_hz=next((hz for hz in mains if hz is not None), None),
    )


def _missing(recording: Recording) -> list[str]:
    """A note on values that are not finite; they stay, and the guard masks them."""
    counts = np.zeros(len(recording.labels), np.int64)
    for block in blocks(recording.seeg):
        counts += np.sum(~np.isfinite(block), axis=0)
    if not counts.any():
        return []
    each = [
        f"{recording.labels[i]} ({counts[i]} samples, {float(counts[i] / recording.fs):.3g} s)"
        for i in np.argsort(-counts, kind="stable")
        if counts[i]
    ]
    return [f"values are missing (NaN) in {brief(each, 6)}"]


def _matched(recording: Recording) -> Recording:
    """Say where audio is missing, and leave out the trials it does not cover."""
    start_s, stop_s = _overlap(recording)
    notes = []
    if peak(recording.audio) < SILENT:
        notes.append("the audio is silent")
    if start_s > _UNEVEN_S or stop_s < recording.seconds - _UNEVEN_S:
        notes.append(
            f"audio covers {start_s:.2f}-{stop_s:.2f} s of the {recording.seconds:.2f} s of sEEG"
        )
    kept = tuple(
        t
        for t in recording.trials
        if t.onset_s >= start_s - _SLACK_S and t.onset_s + t.duration_s <= stop_s + _SLACK_S
    )
    lost = len(recording.trials) - len(kept)
    if lost:
        notes.append(f"{lost} trials without audio were left out")
    return _noted(replace(recording, trials=kept), notes)


def _overlap(recording: Recording) -> tuple[float, float]:
    """First and last second of sEEG that have audio."""
    start = recording.audio_start_s
    stop = start + len(recording.audio) / recording.audio_rate
    if min(stop, recording.seconds) <= max(start, 0.0):
        raise RecordingError(
            f"{recording.path}: the audio lasts from {start:.2f} to {stop:.2f} s, the sEEG from 0 "
            f"to {recording.seconds:.2f} s",
            "audio and sEEG of the same time",
            "correct the offset of the audio (seconds from the first sEEG sample), or its file",
        )
    return max(start, 0.0), min(stop, recording.seconds)


def _noted(recording: Recording, notes: list[str]) -> Recording:
    return replace(recording, notes=(*recording.notes, *notes))
