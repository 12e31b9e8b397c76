"""What the operator tells a running session: mute, unmute, gain, a note, stop.

    mute            silence, faded within a hop; decoding and recording go on
    unmute          end of that silence
    gain DB         gain before the limiter, -60 to 20 dB; both ceilings hold whatever it is
    note TEXT       an event with this text, at the time it was given
    stop            fade out and close the session

Any thread gives (`Operator.give`); the service polls between blocks, and says with an event what
it did. A terminal, a script's standard input and a page all go through the same lines.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import pylsl

from models.errors import SettingsError
from realtime.limiter import HIGHEST_GAIN_DB, LOWEST_GAIN_DB

Verb = Literal["mute", "unmute", "gain", "note", "stop"]

VERBS: tuple[Verb, ...] = ("mute", "unmute", "gain", "note", "stop")
WAITING_AT_MOST = 100
LONGEST_NOTE = 1000


@dataclass(frozen=True)
class Command:
    """One command; `time` is when it was given, seconds on the local LSL clock.

    `gain_db` belongs to `gain`, in dB, `text` to `note`.
    """

    verb: Verb
    time: float
    gain_db: float = 0.0
    text: str = ""

    def __str__(self) -> str:
        more = {"gain": f" {self.gain_db:+g} dB", "note": f" {self.text}"}
        return self.verb + more.get(self.verb, "")


def parse(line: str, time: float) -> Command:
    """Read a command line such as `gain -6`.

    Raises
    ------
    SettingsError
        If it is no command, or its gain or text will not do.
    """
    word, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    for verb in VERBS:
        if word.casefold() != verb:
            continue
        if verb == "gain":
            return Command(verb, time, gain_db=_gain_db(rest))
        if verb == "note":
            return Command(verb, time, text=_text(rest))
        if rest:
            raise SettingsError(f"'{line.strip()}'", f"'{verb}' alone", "give one command a line")
        return Command(verb, time)
    expected = "mute, unmute, gain DB, note TEXT or stop"
    raise SettingsError(f"'{line.strip()}' is no command", expected, "type one of these")


def _gain_db(text: str) -> float:
    try:
        gain_db = float(text.casefold().removesuffix("db"))
    except ValueError:
        gain_db = float("nan")
    if not (isfinite(gain_db) and LOWEST_GAIN_DB <= gain_db <= HIGHEST_GAIN_DB):
        raise SettingsError(
            f"a gain of '{text}'",
            f"{LOWEST_GAIN_DB:g} to {HIGHEST_GAIN_DB:g} dB",
            "for silence use mute",
        )
    return gain_db


def _text(text: str) -> str:
    # A note becomes a line on screens and in files.
    clean = "".join(char if char.isprintable() else " " for char in text).strip()
    if not clean or len(clean) > LONGEST_NOTE:
        raise SettingsError(
            f"a note of {len(clean)} characters", f"1 to {LONGEST_NOTE}", "note what you see"
        )
    return clean


class Operator:
    """A queue of commands from any thread to the one that carries the hops.

    Parameters
    ----------
    now : the clock that commands are stamped with, seconds.
    """

    def __init__(self, now: Callable[[], float] = pylsl.local_clock) -> None:
        self._now = now
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def give(self, line: str) -> Command:
        """Queue one command; returns it as it was understood.

        Raises
        ------
        SettingsError
            If it is no command, or 100 are waiting already (the decoder takes none).
        """
        command = parse(line, self._now())
        # A decoder that hangs must not fill the memory; stop gets through even then.
        if self._queue.qsize() >= WAITING_AT_MOST and command.verb != "stop":
            raise SettingsError(
                f"{self._queue.qsize()} commands are waiting", "a few", "wait, or stop the session"
            )
        self._queue.put(command)
        return command

    def poll(self) -> Command | None:
        """The oldest command not yet taken, or None; never waits."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None
