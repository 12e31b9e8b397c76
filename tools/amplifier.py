"""A simulated amplifier: recorded or synthetic contacts as a real LSL stream, at the true pace.

Run it in a process of its own: `python -m tools.amplifier recording.npy --burst 16`.
An `.npy` file holds `(samples, contacts)` microvolts; beside it a `.json` of the same stem says
`{"fs": 1024, "labels": ["LA1", ...]}`. With `--inject faults.toml` things go wrong as planned.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TextIO

import numpy as np

from models.errors import (
    BusyOutputError,
    RecordingError,
    SeegvoxError,
    SettingsError,
    StreamError,
)
from models.streaming import Floats
from realtime.lsl_config import quieten
from tools.amplifier_options import NAME, add_arguments
from tools.faults import outlet
from tools.faults.inject import inject
from tools.faults.packets import Injected
from tools.faults.plan import FaultPlan, read_plan
from tools.faults.source import Description, array_blocks


@dataclass(frozen=True)
class Source:
    """What to play: `(samples, contacts)` microvolts, rate in Hz, one label per contact."""

    seeg: Floats
    fs: Fraction
    labels: tuple[str, ...]


def play(
    seeg: Floats,
    fs: Fraction,
    labels: Sequence[str],
    *,
    name: str = NAME,
    source_id: str = NAME,
    unit: str = "microvolts",
    dtype: str = "float32",
    burst: int = 16,
    loop: bool = False,
    duration_s: float | None = None,
    plan: FaultPlan | None = None,
    stop_event: threading.Event | None = None,
    wait_for_consumer: bool = True,
    linger_s: float = 0.5,
    on_ready: Callable[[str], None] = lambda source_id: None,
    on_injected: outlet.Told = lambda time, injected: None,
) -> int:
    """Stream a recording as an amplifier would; return the number of samples pushed.

    Sample `i` is taken `i / fs` after the start. A burst is pushed when its last sample is taken,
    never before, and stamped with that time: arrival minus stamp is then true transport.

    Parameters
    ----------
    seeg : `(samples, contacts)`, microvolts; sent in `unit` as `dtype`, integers saturating.
    burst : samples per packet; clinical amplifiers send 1 to 100. A plan's own wins.
    loop : start over at the end of the recording.
    duration_s : stop after that many seconds; None plays to the end.
    plan : what is to go wrong; it is told on a marker stream, `<name>-faults`.
    stop_event : set from outside to stop within a burst.
    wait_for_consumer : hold the first sample until somebody listens.
    linger_s : how long the stream stays open after the last sample.
    on_ready : called with the source id once the stream can be found.
    on_injected : called with each fault and its LSL time.

    Raises
    ------
    MontageError
        If `unit` is unknown.
    SettingsError
        If the plan does not fit the recording.
    """
    description = Description(tuple(labels), fs, name, source_id, unit=unit, dtype=dtype)
    wrong = plan or FaultPlan()
    whole = wrong.model_copy(update={"packet": wrong.packet or burst})
    blocks = array_blocks(seeg, fs, _total(len(seeg), fs, loop, duration_s))
    return outlet.play(
        inject(blocks, description, whole),
        description,
        stop=stop_event or threading.Event(),
        wait_for_consumer=wait_for_consumer,
        linger_s=linger_s,
        markers=bool(wrong.faults),
        on_ready=on_ready,
        on_injected=on_injected,
    )


def load(path: Path) -> Source:
    """Read what to play: an `.npy` with its `.json`, or any recording that seegvox reads.

    Raises
    ------
    RecordingError
        If the file or its description is missing or does not fit.
    """
    if path.suffix == ".npy":
        return _load_array(path)
    from realtime.recordings import read_recording

    recording = read_recording(path)
    return Source(recording.seeg, recording.fs, tuple(recording.labels))


def save_array(path: Path, seeg: Floats, fs: Fraction, labels: Sequence[str]) -> None:
    """Write an `.npy` and its `.json` as `load` reads them; refuses to overwrite.

    Raises
    ------
    BusyOutputError
        If either exists.
    """
    try:
        with path.open("xb") as file, path.with_suffix(".json").open("x") as text:
            np.save(file, np.asarray(seeg, np.float32))
            json.dump({"fs": str(fs), "labels": list(labels)}, text)
    except FileExistsError as err:
        raise BusyOutputError(f"{err.filename} exists", "a new name", "choose another") from err


@contextlib.contextmanager
def spawn_amplifier(
    path: Path, *options: str, ready_s: float = 30.0
) -> Iterator[subprocess.Popen[str]]:
    """Play `path` in another process; enter once its stream exists, end it on leaving.

    Raises
    ------
    StreamError
        If it does not get ready within `ready_s`.
    """
    command = [sys.executable, "-m", "tools.amplifier", str(path), *options]
    root = str(Path(__file__).resolve().parent.parent)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        _await_ready(process, ready_s)
        yield process
    finally:
        _end(process)


def run(args: argparse.Namespace) -> int:
    """Play until the end, or until SIGINT or SIGTERM; both end it cleanly."""
    quieten()
    source = load(args.path)
    if args.burst < 1:
        raise SettingsError(f"a burst of {args.burst} samples", "1 or more", "use --burst 16")
    plan = read_plan(args.inject) if args.inject else None
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _list_of_faults(args.injected) as told:
        play(
            _section(source, args.start_s, args.stop_s),
            source.fs,
            source.labels,
            name=args.name,
            source_id=args.source_id,
            unit=args.unit,
            dtype=args.dtype,
            burst=args.burst,
            loop=args.loop,
            plan=plan,
            stop_event=stop,
            wait_for_consumer=args.wait,
            linger_s=args.linger_s,
            on_ready=lambda source_id: print(f"ready source_id={source_id}", flush=True),
            on_injected=told,
        )
    return 0


@contextlib.contextmanager
def _list_of_faults(path: Path | None) -> Iterator[outlet.Told]:
    """Append each fault to a file as a line of JSON, at once."""
    if path is None:
        yield lambda time, injected: None
        return
    with _new_text(path) as file:

        def told(time: float, injected: Injected) -> None:
            line = {"time": time, "kind": injected.kind, "detail": injected.detail}
            print(json.dumps(line), file=file, flush=True)

        yield told


def _new_text(path: Path) -> TextIO:
    try:
        return path.open("x")
    except FileExistsError as err:
        raise BusyOutputError(f"{path} exists", "a new name", "choose another") from err


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m tools.amplifier`."""
    parser = argparse.ArgumentParser(prog="amplifier", description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except SeegvoxError as err:
        print(f"amplifier: {err}", file=sys.stderr)
        return 2


def _total(samples: int, fs: Fraction, loop: bool, duration_s: float | None) -> int | None:
    asked = None if duration_s is None else int(Fraction(duration_s) * fs)
    if loop:
        return asked
    return samples if asked is None else min(samples, asked)


def _section(source: Source, start_s: float, stop_s: float | None) -> Floats:
    start = round(Fraction(start_s) * source.fs)
    stop = len(source.seeg) if stop_s is None else round(Fraction(stop_s) * source.fs)
    section = source.seeg[max(start, 0) : stop]
    if len(section) == 0:
        length_s = float(len(source.seeg) / source.fs)
        raise RecordingError(
            f"nothing lies between {start_s} s and {stop_s} s",
            f"a part of the recording's {length_s:g} s",
            "change --start-s and --stop-s",
        )
    return section


def _load_array(path: Path) -> Source:
    sidecar = path.with_suffix(".json")
    try:
        seeg: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
        said = json.loads(sidecar.read_text())
        fs, labels = Fraction(said["fs"]), tuple(str(label) for label in said["labels"])
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise RecordingError(
            f"{path} with {sidecar.name} cannot be read ({err!r})",
            'an array and {"fs": 1024, "labels": [...]}',
            "write both with tools.amplifier.save_array",
        ) from err
    if seeg.ndim != 2 or seeg.shape[1] != len(labels) or fs <= 0:
        raise RecordingError(
            f"{path} has shape {seeg.shape}, {sidecar.name} says {len(labels)} labels at {fs} Hz",
            "(samples, contacts) with a label for each contact and a positive rate",
        )
    return Source(seeg, fs, labels)


def _await_ready(process: subprocess.Popen[str], ready_s: float) -> None:
    assert process.stdout is not None
    answered, _, _ = select.select([process.stdout], [], [], ready_s)
    line = process.stdout.readline() if answered else ""
    if not line.startswith("ready "):
        raise StreamError(
            f"the simulated amplifier said {line!r} (exit status {process.poll()})",
            f"'ready' within {ready_s:g} s",
            "see its message on standard error",
        )


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
