"""Signal to calibrate with: a live stream or a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pylsl

from models.bundle import Bundle
from models.errors import CalibrationError, MontageError, StreamError
from models.files import sha256
from models.montage import match_labels
from realtime.calibration.measure import SETTLE_S, Tally
from realtime.inlet import Block, Inlet
from realtime.recordings import Recording
from realtime.streams import StreamQuery

JUMP_S = 0.05
"""Timestamps further from their due time than this are a gap, as the live service bridges none."""
STALL_S = 5.0
_PATIENCE = 3.0
_TELL_S = 10.0
_BLOCK = 4096

Tell = Callable[[str], None]


def measure_stream(
    bundle: Bundle,
    query: StreamQuery,
    seconds: float = 60.0,
    unit: str | None = None,
    allow_missing: Sequence[str] = (),
    tell: Tell = lambda line: None,
) -> tuple[Tally, dict[str, Any]]:
    """Listen to a stream for `seconds` beyond the first; return the tally and what the stream is.

    Raises
    ------
    StreamError
        If none is found, or it stalls or goes away.
    MontageError
        If it is not the bundle's montage, rate and unit.
    """
    spec, tally = bundle.spec, Tally(bundle)
    with Inlet(query, spec.contacts, spec.fs_hz, unit, allow_missing) as inlet:
        first = inlet.wait_first(query.timeout_s)
        for block in _blocks(inlet, first, tally, seconds):
            before = tally.seconds
            tally.feed(block.samples)
            if tally.seconds // _TELL_S > before // _TELL_S:
                tell(_progress(bundle, tally, seconds))
        stream = vars(inlet.description) | {"rate": str(inlet.description.rate)}
        return tally, {"stream": stream, "given_up": list(inlet.match.missing)}


def _blocks(inlet: Inlet, first: Block, tally: Tally, seconds: float) -> Iterator[Block]:
    """Blocks until the tally has its seconds; the tally is told of gaps."""
    due, block = _Due(inlet.description.rate), cast(Block | None, first)
    deadline = pylsl.local_clock() + _PATIENCE * (seconds + STALL_S)
    while tally.seconds < seconds:
        now = pylsl.local_clock()
        if inlet.idle_s(now) > STALL_S or now > deadline:
            raise StreamError(
                f"{tally.seconds:.0f} s of {seconds:g} s from '{inlet.description.name}', "
                f"{tally.interruptions} gaps, nothing for the last {inlet.idle_s(now):.1f} s",
                "a signal without breaks",
                "check the amplifier, then calibrate again",
            )
        if block is not None:
            if due.interrupted(block):
                tally.interrupt()
            yield block
        block = inlet.pull()


def measure_recording(
    bundle: Bundle,
    recording: Recording,
    seconds: float | None = 60.0,
    start_s: float = 0.0,
    allow_missing: Sequence[str] = (),
) -> tuple[Tally, dict[str, Any]]:
    """Take `seconds` of a recording, and one more to settle; all that follows `start_s` if None.

    Raises
    ------
    MontageError
        If it is not the bundle's montage or rate.
    CalibrationError
        If it begins after the recording's end.
    """
    spec = bundle.spec
    if recording.fs != spec.fs_hz:
        raise MontageError(
            f"{recording.path} has {float(recording.fs):.10g} Hz",
            f"{float(spec.fs_hz):.10g} Hz, the rate the bundle was trained on",
            "give a recording at that rate",
        )
    match = match_labels(spec.contacts, recording.labels, allow_missing)
    first = round(Fraction(str(start_s)) * spec.fs_hz)
    last = len(recording.seeg)
    if seconds is not None:
        last = min(last, first + round((Fraction(str(seconds)) + SETTLE_S) * spec.fs_hz))
    if first >= len(recording.seeg):
        raise CalibrationError(
            f"start {start_s:g} s", f"less than {recording.seconds:g} s", "choose an earlier one"
        )
    tally = Tally(bundle)
    columns = np.maximum(np.array(match.columns, np.intp), 0)
    missing = np.array(match.columns) < 0
    for start in range(first, last, _BLOCK):
        rows = recording.seeg[start : min(last, start + _BLOCK)]
        tally.feed(np.where(missing, np.float32(np.nan), rows[:, columns]))
    about = {"recording": str(recording.path.resolve()), "start_s": start_s}
    if recording.path.is_file():
        about["recording_sha256"] = sha256(recording.path)
    return tally, {**about, "given_up": list(match.missing), "notes": list(recording.notes)}


class _Due:
    """Whether samples came that do not follow those before."""

    def __init__(self, fs: Fraction) -> None:
        self._period_s, self._last = float(1 / fs), float("nan")

    def interrupted(self, block: Block) -> bool:
        """Whether a block, or the way to it, holds a step in time."""
        stamps = np.append(self._last, block.timestamps)
        self._last = float(stamps[-1])
        # Not a number before the first block: no step.
        return bool(np.any(np.abs(np.diff(stamps) - self._period_s) > JUMP_S))


def _progress(bundle: Bundle, tally: Tally, seconds: float) -> str:
    masked = [c for c, m in zip(bundle.spec.contacts, tally.masked_now, strict=True) if m]
    named = ", ".join(masked[:8]) + (", ..." if len(masked) > 8 else "")
    return f"{tally.seconds:.0f} of {seconds:g} s; masked now: {named or 'none'}"
