"""The machine under the service: stopped, hogged, its disk full; ended by signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.faults.policy import (
    CAPTURE_S,
    check_clean_edges,
    check_delay,
    check_sounding,
    silence_for,
)
from tests.faults.session import (
    Amplifier,
    Live,
    Outcome,
    Recorder,
    amplifier,
    live,
    now,
    outcome_of,
    recorder,
    run_until,
    session_settings,
)
from tests.sound_servers import SoundServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@contextmanager
def session(
    bundle: Path, pulse: SoundServer, folder: Path, **settings: object
) -> Iterator[tuple[Live, Amplifier, Recorder, float]]:
    """A session that has been decoding for 3 s; then also its LSL time."""
    with recorder(pulse) as capture, amplifier(folder, []) as amp:
        chosen = session_settings(pulse, amp, **settings)
        with live(bundle, folder, pulse.env, **chosen) as running:
            decoding = running.wait_for("decoding")
            run_until(running, decoding + 3.0)
            yield running, amp, capture, now()


def over(running: Live, amp: Amplifier, capture: Recorder, kind: str, at: float) -> Outcome:
    """What is left of a session to which one thing was done."""
    outcome = outcome_of(running, amp, capture.heard())
    outcome.injected.append({"time": at, "kind": kind, "detail": {}})
    return outcome


def test_a_decoder_that_stands_still_for_2_s(
    sounding_bundle: Path, pulse: SoundServer, tmp_path: Path
) -> None:
    """The player, a process of its own, runs dry and fades; nothing old is played afterwards."""
    with session(sounding_bundle, pulse, tmp_path) as (running, amp, capture, at):
        os.kill(running.process.pid, signal.SIGSTOP)
        time.sleep(2.0)
        os.kill(running.process.pid, signal.SIGCONT)
        woken = now()
        run_until(running, woken + 3.0)
        assert running.stop() == 0
        outcome = over(running, amp, capture, "stop", at)
    # Its player cannot be told to fade: what was handed over is played out.
    ring_s = running_target_s(outcome)
    span = next(s for s in outcome.heard.silences(0.1) if s.end > at)
    assert span.start < at + ring_s + 0.05 + CAPTURE_S
    assert woken < span.end < woken + 1.0 + CAPTURE_S
    check_clean_edges(outcome, at - 0.2, woken + 1.5)
    check_delay(outcome, woken + 1.5, woken + 2.9)


def running_target_s(outcome: Outcome) -> float:
    return float(outcome.about["settings"]["playout"]["target_ms"]) / 1e3


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """Processes that each keep a core busy."""
    with ExitStack() as stack:
        for _ in range(count):
            hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(hog.wait)
            stack.callback(hog.kill)
        yield


def test_hogs_on_every_core(sounding_bundle: Path, pulse: SoundServer, tmp_path: Path) -> None:
    """10 s of it: hops may come late or be dropped, and are counted; the delay does not grow."""
    with session(sounding_bundle, pulse, tmp_path) as (running, amp, capture, at):
        with hogs(os.cpu_count() or 1):
            run_until(running, at + 10.0)
        free = now()
        run_until(running, free + 3.0)
        assert running.stop() == 0
        outcome = over(running, amp, capture, "hogs", at)
    index = outcome.hops["index"]
    # The states stepped through every hop.
    np.testing.assert_array_equal(np.diff(index), 1)
    check_clean_edges(outcome, free + 0.5, free + 2.5)
    check_sounding(outcome, free + 0.5, free + 2.5)
    check_delay(outcome, free + 1.0, free + 2.9)
    came, handed = outcome.hops["available"], outcome.hops["handed_over"]
    # Caught up within 200 ms.
    after = came > free + 0.2
    assert np.median((handed - came)[after]) < 0.015
    assert outcome.about["late_hops"] == int(outcome.hops["late"].sum())


def test_a_disk_that_is_full(sounding_bundle: Path, pulse: SoundServer, tmp_path: Path) -> None:
    """Decoding goes on, loudly told; what was written before is there."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no tmpfs may be mounted here")
    try:
        _fill_up(sounding_bundle, pulse, tmp_path, disk)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill_up(bundle: Path, pulse: SoundServer, tmp_path: Path, disk: Path) -> None:
    with session(bundle, pulse, tmp_path, out=str(disk / "run")) as (running, amp, capture, at):
        with (
            (disk / "filler").open("wb", buffering=0) as filler,
            pytest.raises(OSError, match="28"),
        ):
            while True:
                filler.write(bytes(1 << 16))
        full = now()
        told = running.wait_for("degraded", after=at, seconds=20)
        run_until(running, told + 3.0)
        running.stop()
        (disk / "filler").unlink()
        outcome = over(running, amp, capture, "full", at)
    print(f"told {told - full:.2f} s after the disk was full")
    check_sounding(outcome, at - 1.0, told + 2.5)
    check_clean_edges(outcome, at - 1.0, told + 2.5)
    (line,) = (line for time_, line in running.lines if time_ == told)
    assert "space" in line or "record" in line
    assert len(outcome.hops) > 2.5 / 0.015


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_fades_out_and_closes_the_record(
    sounding_bundle: Path, pulse: SoundServer, tmp_path: Path, number: signal.Signals
) -> None:
    with session(sounding_bundle, pulse, tmp_path) as (running, amp, capture, at):
        assert running.stop(number) == 0
        time.sleep(0.2)
        outcome = over(running, amp, capture, "signal", at)
    span = silence_for(outcome, at)
    assert span.end > at + 0.2
    check_clean_edges(outcome, at - 0.5, span.end)
    assert running.lines[-1][1].startswith("stopped")
    assert outcome.events[-1]["event"] == "stopped"
    # Everything is there to the last moment.
    assert outcome.hops["available"][-1] > at - 0.1


def test_kill_9_loses_less_than_a_second(
    sounding_bundle: Path, pulse: SoundServer, tmp_path: Path
) -> None:
    with session(sounding_bundle, pulse, tmp_path) as (running, amp, capture, _):
        family = psutil.Process(running.process.pid).children(recursive=True)
        at = now()
        running.process.kill()
        running.process.wait(5)
        # Player and recorder of this very service: gone by themselves.
        _, alive = psutil.wait_procs(family, timeout=8)
        assert not alive
        outcome = over(running, amp, capture, "kill", at)
    last = outcome.hops["available"][-1]
    print(f"kill -9: the record ends {at - last:.3f} s before")
    assert at - last < 1.0
    span = next(s for s in outcome.heard.silences(0.1) if s.end > at)
    # What was handed over is played out, or ends with the player within its watch of 0.25 s.
    assert span.start < at + running_target_s(outcome) + 0.3 + CAPTURE_S
    check_clean_edges(outcome, at - 0.5, span.end)
