"""The replay on a terminal: progress, pause by the space bar, an end by q."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.sound_servers import wait_for
from tests.tools.replaying import FS, ROOT, Listener, command, write_lab


@contextmanager
def on_terminal(path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The replay with a terminal of its own, in whose foreground it stands; and our end of it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(path, *options),
        cwd=ROOT,
        env=dict(os.environ),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
        # Whoever leads a session and opens a terminal first, owns it.
        preexec_fn=lambda: os.close(os.open(os.ttyname(theirs), os.O_RDWR)),
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        os.close(ours)


def read_to_the_end(terminal: int) -> None:
    """Or the process would wait to write."""
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        # The other end is closed.
        return


@pytest.mark.lsl
def test_space_pauses_and_q_stops(tmp_path: Path) -> None:
    path = write_lab(tmp_path / "lab.xdf", "keys", seconds=60.0)
    options = ("--streams", "amp-keys", "--wait", "--json", "--burst", "8")
    with on_terminal(path, *options) as (process, terminal):
        listener = Listener("1-src")
        stamps = listener.got.stamps
        wait_for(lambda: len(stamps) > 100, 20, "samples")
        os.write(terminal, b" ")
        wait_for(lambda: b"PAUSED" in os.read(terminal, 4096), 10, "the pause")
        before = len(stamps)
        # It shows that it pauses several times more; meanwhile nothing comes.
        wait_for(lambda: b"PAUSED" in os.read(terminal, 4096), 10, "the pause")
        wait_for(lambda: b"PAUSED" in os.read(terminal, 4096), 10, "the pause")
        # One packet may have been on its way.
        assert len(stamps) <= before + 8
        os.write(terminal, b" ")
        wait_for(lambda: len(stamps) > before + 100, 10, "more samples")
        os.write(terminal, b"q")
        read_to_the_end(terminal)
        out, _ = process.communicate(timeout=10)
    check_one_pause(listener, json.loads(out))


def check_one_pause(listener: Listener, told: dict) -> None:
    got = listener.end()
    np.testing.assert_array_equal(got.values[:, 0], np.arange(len(got.rows)))
    assert told["stopped"] is True
    assert told["paused_s"] > 0.2
    # The pause is the one step of the stamps, which are else those of the recording.
    steps = np.diff(got.times)
    assert steps.max() == pytest.approx(told["paused_s"] + 1 / FS, abs=2e-3)
    np.testing.assert_allclose(np.delete(steps, steps.argmax()), 1 / FS, atol=1e-9)
