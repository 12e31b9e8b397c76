"""What a person types: `seegvox replay FILE`."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import SettingsError
from tools.replay.options import add_arguments

if TYPE_CHECKING:
    from tools.faults.plan import FaultPlan
    from tools.replay.choice import Choice
    from tools.replay.control import Control
    from tools.replay.player import Line, Played
    from tools.replay.schedule import Playing

_ABOUT = """Every stream of a recording becomes an LSL outlet with its own name, type, channels,
units and source id. Samples come when they were due, with the timestamps as recorded, moved to the
local LSL clock; gaps stay. Nothing appears before the whole recording was checked."""


def add_parser(subparsers: Any) -> None:
    """Add the verb `replay`."""
    parser = subparsers.add_parser(
        "replay",
        help="stream a recording over LSL again, as it was",
        description=_ABOUT,
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play; 0 at the end of the recording and when stopped."""
    from realtime.lsl_config import quieten
    from tools.replay.choice import AS_RECORDED, chosen
    from tools.replay.opened import open_streams

    _check(args)
    plan = _plan(args.inject)
    # Samples that liblsl sets aside for an outlet when it opens, by its rate: 5 s by default.
    quieten(f"[tuning]\nOutletBufferReserveMs = {max(1, round(2000 / args.speed))}\n")
    any_unit = args.unit == AS_RECORDED
    with open_streams(args.file, None if any_unit else args.unit) as opened:
        choice = chosen(opened, args.streams, args.start, args.stop, any_unit, args.regular)
        for note in choice.notes:
            print(f"note: {note}", file=sys.stderr)
        return _play(args, choice, _playing(args, choice, plan))


def _check(args: argparse.Namespace) -> None:
    if not (math.isfinite(args.speed) and args.speed > 0):
        raise SettingsError(f"--speed {args.speed:g}", "a number above 0", "use 1 for real time")
    if args.burst is not None and args.burst < 1:
        raise SettingsError(f"a burst of {args.burst} samples", "1 or more", "use --burst 16")
    if args.inject_into is not None and args.inject is None:
        raise SettingsError("--inject-into without --inject", "both, or none", "name the faults")


def _plan(path: Path | None) -> FaultPlan | None:
    from tools.faults.plan import read_plan

    return None if path is None else read_plan(path)


def _playing(args: argparse.Namespace, choice: Choice, plan: FaultPlan | None) -> Playing:
    from tools.replay.choice import faulty
    from tools.replay.packets import sizes
    from tools.replay.schedule import Playing

    streams = choice.streams
    place = -1 if plan is None else faulty(streams, args.inject_into)
    keep = args.burst is None and not args.regular
    sized = sizes(streams, args.burst)
    return Playing(streams, choice.window, sized, args.loop, keep, plan, place)


def _play(args: argparse.Namespace, choice: Choice, playing: Playing) -> int:
    from realtime.scheduling import SchedulingSettings, quiet_process
    from tools.replay.ahead import Ahead
    from tools.replay.control import KEYS, Control, keyboard
    from tools.replay.player import Played, open_lines, play, wait_for_listeners
    from tools.replay.progress import Progress
    from tools.replay.schedule import schedule

    control, played = Control(), Played()
    abouts = [stream.about for stream in choice.streams]
    faulty = playing.faulty if playing.plan is not None and playing.plan.faults else None
    # Its thread starts with an ordinary priority: reading must never delay a push.
    with Ahead(schedule(playing)) as items, _stopped_by_signals(control), keyboard(control) as keys:
        items.fill()
        out = sys.stderr if sys.stderr.isatty() else None
        with (
            Progress(out, played, control, choice.window.seconds, KEYS if keys else ""),
            quiet_process(wanted=SchedulingSettings(lock_memory=False)) as granted,
        ):
            lines = open_lines(abouts, args.file.name, args.speed, faulty)
            _say_ready(args, lines)
            if args.wait is not None:
                wait_for_listeners(lines, args.wait == "all", control)
            play(lines, items, control, args.speed, played=played)
    _tell(args, choice, lines, played, control, items.waits, granted.priority)
    return 0


@contextmanager
def _stopped_by_signals(control: Control) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(*_: object) -> None:
        # Not here: the thread that is interrupted may hold the very lock that stopping needs.
        threading.Thread(target=control.stop, daemon=True).start()

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_ready(args: argparse.Namespace, lines: list[Line]) -> None:
    out = sys.stderr if args.json else sys.stdout
    for line in lines:
        source = line.about.source_id or "none"
        print(f"stream {line.about}, source_id {source}", file=out)
    print("ready", file=out, flush=True)


def _tell(
    args: argparse.Namespace,
    choice: Choice,
    lines: list[Line],
    played: Played,
    control: Control,
    waits: int,
    priority: str,
) -> None:
    from tools.replay.summary import as_text, summary

    told = summary(str(args.file), choice, lines, played, args.speed)
    told |= {"stopped": control.stopped, "late_reads": waits, "priority": priority}
    if args.json:
        from realtime.plain import json_line

        print(json_line(told))
    else:
        print(as_text(told))
