"""Which streams of a recording are played, from when to when; and all that speaks against it.

Whatever is wrong is said here, before the first outlet appears.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import RecordingError, SettingsError
from realtime.recordings.amplitude import known_unit
from tools.replay.regular import regularised
from tools.replay.streams import STRING, Opened, RecordedStream

AS_RECORDED = "recorded"
"""The unit that lets a stream be played whose unit is not known."""
MOST_HOLE_S = 600.0
"""Longer without a sample of any stream, and the clocks of the streams do not belong together."""


@dataclass(frozen=True)
class Window:
    """What is played: from `start_s` up to, but without, `stop_s`, on the recording's clock."""

    start_s: float
    stop_s: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.stop_s - self.start_s


@dataclass(frozen=True)
class Choice:
    """The streams to play, their window, and notes."""

    streams: list[RecordedStream]
    window: Window
    notes: list[str]


def chosen(
    opened: Opened,
    names: Sequence[str] = (),
    start_s: float = 0.0,
    stop_s: float | None = None,
    any_unit: bool = False,
    regular: bool = False,
) -> Choice:
    """Pick streams and the window, and check them.

    Parameters
    ----------
    names : name, source id or type of the streams; none takes all that have samples, and irregular
        ones that have none.
    start_s, stop_s : seconds from the first sample of sEEG (of anything, without sEEG); 0 plays
        what came before it, too.
    any_unit : take sEEG whose unit is not known, too.
    regular : put timestamps on a steady grid, see `regular`.

    Raises
    ------
    SettingsError
        If a name fits no stream, or the window is none.
    RecordingError
        If a stream that was named has no samples, none has any, timestamps step back, the unit of
        sEEG is not known, or nothing lies in the window.
    """
    streams, notes = _picked(opened.streams, names)
    for stream in streams:
        if stream.trouble is not None:
            raise stream.trouble
        if not any_unit:
            _check_unit(stream)
    if regular:
        gridded = [regularised(stream) for stream in streams]
        streams = [stream for stream, _ in gridded]
        notes += [note for _, more in gridded for note in more]
    window = _window(streams, start_s, stop_s)
    _check_together(streams, window)
    return Choice(streams, window, [*opened.notes, *notes])


def _picked(
    streams: Sequence[RecordedStream], names: Sequence[str]
) -> tuple[list[RecordedStream], list[str]]:
    for name in names:
        if not any(_fits(stream, name) for stream in streams):
            raise SettingsError(
                f"no stream is called '{name}'",
                "name, source id or type of " + " | ".join(str(s.about) for s in streams),
                "correct --streams",
            )
    wanted = [s for s in streams if not names or any(_fits(s, name) for name in names)]
    named = [[s for s in wanted if _fits(s, name)] for name in names] or [wanted]
    for group in named:
        if not any(s.samples for s in group):
            raise RecordingError(
                f"stream {' and '.join(str(s.about) for s in group)} holds no samples",
                "at least one",
                "choose other streams, or another recording",
            )
    empty = [s for s in wanted if not s.samples and s.about.rate_hz]
    notes = [f"stream {stream.about} holds no samples and is left out" for stream in empty]
    return [stream for stream in wanted if stream not in empty], notes


def _fits(stream: RecordedStream, name: str) -> bool:
    about = stream.about
    return name in (about.name, about.source_id) or name.casefold() == about.type.casefold()


def _check_unit(stream: RecordedStream) -> None:
    """A decoder refuses sEEG of an unknown unit; so the person who knows it is asked here."""
    about = stream.about
    if about.is_seeg and not any(known_unit(text) is not None for text in about.units):
        said = ", ".join(sorted({text or "none" for text in about.units}))
        raise RecordingError(
            f"the unit of stream {about} is not known ({said})",
            "a unit of voltage",
            f"state it with --unit uV, mV or V, or send it as it is with --unit {AS_RECORDED}",
        )


def _window(streams: Sequence[RecordedStream], start_s: float, stop_s: float | None) -> Window:
    full = [stream for stream in streams if stream.samples]
    earliest = min(stream.first_s for stream in full)
    # With the last sample's own interval, so that a loop goes on as the recording did.
    latest = max(stream.last_s + _interval(stream) for stream in full)
    origin = next((s.first_s for s in full if s.about.is_seeg), earliest)
    if start_s < 0 or (stop_s is not None and stop_s <= start_s):
        raise SettingsError(
            f"--start {start_s:g} --stop {'the end' if stop_s is None else f'{stop_s:g}'}",
            "a start of 0 or more, and a later stop",
            "correct them",
        )
    window = Window(
        origin + start_s if start_s else earliest,
        latest if stop_s is None else min(latest, origin + stop_s),
    )
    if not any(s.first_s < window.stop_s and window.start_s <= s.last_s for s in full):
        raise RecordingError(
            f"nothing lies between {start_s:g} s and {stop_s or latest - origin:g} s",
            f"a part of the recording's {latest - origin:.6g} s",
            "change --start and --stop",
        )
    return window


def _interval(stream: RecordedStream) -> float:
    return 1 / stream.about.rate_hz if stream.about.rate_hz else 1e-3


def _check_together(streams: Sequence[RecordedStream], window: Window) -> None:
    """Streams of computers whose clocks were never compared may lie days apart."""
    spans = sorted(
        (max(s.first_s, window.start_s), min(s.last_s, window.stop_s), str(s.about))
        for s in streams
        if s.samples and s.first_s < window.stop_s and s.last_s >= window.start_s
    )
    until = spans[0][1]
    for first, last, name in spans:
        if first - until > MOST_HOLE_S:
            raise RecordingError(
                f"stream {name} begins {first - until:.0f} s after all others before it have ended",
                f"streams of one session, without a pause of more than {MOST_HOLE_S:.0f} s",
                "play them apart, with --streams (their clocks may never have been compared)",
            )
        until = max(until, last)


def faulty(streams: Sequence[RecordedStream], name: str | None) -> int:
    """Place of the stream that faults are put into: the named one, or the sEEG.

    Raises
    ------
    SettingsError
        If no stream fits, or several do; or it has strings, or no steady rate.
    """
    fitting = [
        place
        for place, stream in enumerate(streams)
        if (stream.about.is_seeg and stream.samples if name is None else _fits(stream, name))
    ]
    if len(fitting) != 1:
        what = "sEEG (type EEG, sEEG, iEEG or ECoG)" if name is None else f"called '{name}'"
        found = " | ".join(str(streams[i].about) for i in fitting) or "none"
        raise SettingsError(
            f"of the streams that are played, {len(fitting)} are {what}: {found}",
            "one that faults can be put into",
            "name it with --inject-into",
        )
    about = streams[fitting[0]].about
    if about.format == STRING or not about.rate_hz:
        raise SettingsError(
            f"faults cannot be put into {about}", "numbers at a steady rate", "name another stream"
        )
    return fitting[0]
