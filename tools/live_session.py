"""One live session: the service, its operator and its screen."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from realtime.latency import summarise, table
from realtime.record.reading import read_run
from realtime.service import Service, stopped_by_signals
from realtime.settings import LiveSettings
from tools.status_line import Display, JsonScreen, PlainScreen, Screen, TtyScreen
from tools.terminal import KeyReader, commands_from

_OBEYED_S = 0.5


def session(settings: LiveSettings, json: bool = False) -> None:
    """Run the service to its end and show its result; with `json`, for scripts.

    Raises
    ------
    SeegvoxError
        As `Service.run` does.
    """
    screen = _screen(json)
    facts = _run(Service(settings), screen)
    if isinstance(screen, JsonScreen):
        screen.write("result", {**facts, "folder": settings.out})
    else:
        print_run(settings.out, facts)


def _screen(json: bool) -> Screen:
    if json:
        return JsonScreen(sys.stdout)
    return TtyScreen(sys.stdout) if sys.stdout.isatty() else PlainScreen(sys.stdout)


def _run(service: Service, screen: Screen) -> dict[str, Any]:
    display = Display(screen, service.status)
    service.on_event(display.event)
    with stopped_by_signals(service), display, _commands(service, screen, display):
        return service.run()


def _commands(service: Service, screen: Screen, display: Display) -> AbstractContextManager[None]:
    try:
        os.fstat(0)
    except OSError:
        # Started without a standard input.
        return nullcontext()

    def give(line: str) -> None:
        if service.operator.give(line).verb == "stop":
            _stop(service)

    gain_db = service.settings.limiter.gain_db
    # Keys need their answer in sight; lines do not.
    keys = KeyReader(gain_db, display.prompt) if isinstance(screen, TtyScreen) else None
    return commands_from(0, keys, give, display.say)


def _stop(service: Service) -> None:
    """See to it that a stop is obeyed: no command is while the service waits for samples."""
    if service.running:
        late = threading.Timer(_OBEYED_S, service.stop.set)
        late.daemon = True
        late.start()
    else:
        # As Ctrl-C would: there is nothing to close yet.
        os.kill(os.getpid(), signal.SIGINT)


def print_run(folder: Path, facts: dict[str, Any]) -> None:
    """Latency of a run as a table, and what it counted."""
    run = read_run(folder)
    print(table(summarise(run.hops, run.dac)))
    playout = facts["playout"]
    print(
        f"{facts['hops']} hops, {facts['late_hops']} late, {facts['dropped_hops']} dropped, "
        f"{playout['underruns']} underruns, {playout['trims']} trims; "
        f"look-ahead {run.about['lookahead_ms']:g} ms; {facts['lost_samples']} samples lost; "
        f"first hop {facts['first_hop_s']:.1f} s after the process began; "
        f"resident {facts['resident_mb']:.0f} MB"
    )
    print(folder)
