"""One way of receiving a stream, in a process of its own, in turns.

    python -m tools.bench.receivers KIND RECORDING.npy SOURCE_ID LOG.npy

    seegvox   realtime.inlet: a blocking pull that returns with the first sample
    poll      pylsl, asked every millisecond (the pull loop of mne-lsl's StreamLSL, 1 ms by default)
    mne-lsl   mne_lsl's own inlet and liblsl, in that loop
    hop       pylsl as tutorials have it: `pull_chunk(timeout=hop)`, which waits for the hop

A line `SECONDS` on standard input is a turn: what has piled up is thrown away, then pulls are noted
for so long, and `done` said. The log, `(pulls, 3)`: turn, timestamp of the newest sample, and the
monotonic clock when it was there, s.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import SettingsError, StreamError, need
from tools.bench.processes import say_ready

DONE = "done"
POLL_S, HOP_S, MOST = 0.001, 0.015, 256
_TIMEOUT_S = 20.0
Newest = Callable[[], float | None]
"""Waits for samples in its own way; the newest one's timestamp, None if none came."""


def seegvox_inlet(recording: Path, source_id: str) -> Newest:
    """The inlet of the live service."""
    from realtime.inlet import Inlet
    from realtime.streams import StreamQuery
    from tools.amplifier import load

    source = load(recording)
    query = StreamQuery(source_id=source_id, timeout_s=_TIMEOUT_S)
    inlet = Inlet(query, source.labels, source.fs)

    def newest() -> float | None:
        block = inlet.pull(0.1)
        return None if block is None else float(block.timestamps[-1])

    return newest


def polled(recording: Path, source_id: str) -> Newest:
    """pylsl, asked every millisecond."""
    return _polling(_pylsl_inlet(source_id).pull_chunk)


def waiting(recording: Path, source_id: str) -> Newest:
    """pylsl, told to wait for a hop."""
    inlet = _pylsl_inlet(source_id)

    def newest() -> float | None:
        _, stamps = inlet.pull_chunk(HOP_S, MOST)
        return float(stamps[-1]) if len(stamps) else None

    return newest


def mne_inlet(recording: Path, source_id: str) -> Newest:
    """mne-lsl's inlet, asked every millisecond, as its StreamLSL does.

    Raises
    ------
    MissingExtraError
        If mne-lsl is not installed.
    """
    lsl = need("mne_lsl.lsl", "test")
    found = lsl.resolve_streams(timeout=_TIMEOUT_S, source_id=source_id)
    if not found:
        raise StreamError("mne-lsl found no stream", f"one of source id {source_id}")
    inlet = lsl.StreamInlet(found[0], max_buffered=10)
    inlet.open_stream(timeout=_TIMEOUT_S)
    return _polling(inlet.pull_chunk)


def _pylsl_inlet(source_id: str) -> Any:
    import pylsl

    found = pylsl.resolve_byprop("source_id", source_id, 1, _TIMEOUT_S)
    if not found:
        raise StreamError("pylsl found no stream", f"one of source id {source_id}")
    inlet = pylsl.StreamInlet(found[0], 10, 0, False)
    inlet.open_stream(_TIMEOUT_S)
    return inlet


def _polling(pull: Callable[..., Any]) -> Newest:
    def newest() -> float | None:
        _, stamps = pull(timeout=0.0, max_samples=MOST)
        if len(stamps):
            return float(stamps[-1])
        time.sleep(POLL_S)
        return None

    return newest


KINDS: dict[str, Callable[[Path, str], Newest]] = {
    "seegvox": seegvox_inlet,
    "poll": polled,
    "mne-lsl": mne_inlet,
    "hop": waiting,
}


def turn(number: int, newest: Newest, seconds: float) -> list[tuple[float, float, float]]:
    """One turn: rows of the log."""
    flushed = time.monotonic() + 0.3
    while time.monotonic() < flushed:
        newest()
    rows, end = [], time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        stamp = newest()
        now = time.monotonic()
        if stamp is not None:
            rows.append((float(number), stamp, now))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m tools.bench.receivers`."""
    kind, recording, source_id, log = (sys.argv[1:] if argv is None else argv)[:4]
    if kind not in KINDS:
        raise SettingsError(f"no receiver '{kind}'", f"one of {', '.join(KINDS)}")
    from realtime.lsl_config import quieten
    from realtime.scheduling import HOP_PRIORITY, raise_priority

    quieten()
    newest = KINDS[kind](Path(recording), source_id)
    raise_priority(HOP_PRIORITY)
    say_ready()
    rows: list[tuple[float, float, float]] = []
    for number, line in enumerate(sys.stdin):
        rows += turn(number, newest, float(line))
        say_ready(DONE)
    np.save(Path(log), np.array(rows).reshape(-1, 3))
    return 0


if __name__ == "__main__":
    sys.exit(main())
