"""Programs that a measurement runs beside itself: they say `ready`, and write what they found.

Each is a module of this package with `main(args)`. SIGTERM asks it to write its file and end.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.errors import StreamError

_ROOT = Path(__file__).resolve().parents[2]
READY = "ready"
_END_S = 20.0


@contextmanager
def beside(
    module: str,
    args: Sequence[object],
    env: Mapping[str, str] | None = None,
    hardware: bool = True,
    ready_s: float = 30.0,
) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m module args` during the block; enter once it is ready.

    Parameters
    ----------
    env : variables that it has beside this process's own.
    hardware : it stands for hardware, which does not wait for a core.

    Raises
    ------
    StreamError
        If it does not get ready.
    """
    path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        # Ctrl-C is for the measurement, which ends it.
        start_new_session=True,
    )
    try:
        expect(process, READY, ready_s)
        if hardware:
            from tools.soak_real import as_hardware

            as_hardware(process.pid)
        yield process
    finally:
        _end(process)


def expect(process: subprocess.Popen[str], word: str, seconds: float) -> None:
    """Wait until a program says a word.

    Raises
    ------
    StreamError
        If it says another, nothing in time, or ended.
    """
    assert process.stdout is not None
    answered, _, _ = select.select([process.stdout], [], [], seconds)
    said = process.stdout.readline().strip() if answered else ""
    if said != word:
        raise StreamError(
            f"{process.args!r} said {said!r} (exit status {process.poll()})",
            f"'{word}' within {seconds:g} s",
            "see its message on standard error",
        )


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


# --- the program's own side -----------------------------------------------------------------------


def until_terminated() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def say_ready(word: str = READY) -> None:
    """Tell the measurement."""
    print(word, flush=True)
