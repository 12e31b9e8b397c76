"""What the hop path runs under is granted, told, and given back."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_info

from models.bundle import load_bundle
from models.errors import AudioError, SettingsError
from realtime import memory_lock, scheduling
from realtime.pipeline import Pipeline
from realtime.playout.playout import open_playout
from realtime.playout.settings import PlayoutSettings
from realtime.scheduling import (
    SchedulingSettings,
    cores_awake,
    quiet_process,
    raise_priority,
    usable_cores,
)
from tests.bundles import noise_uv

ROOT = Path(__file__).parents[2]


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def state() -> tuple[Any, ...]:
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    return os.sched_getscheduler(0), nice, gc.isenabled(), sys.getswitchinterval(), blas_threads()


def test_everything_is_given_back_also_after_an_error() -> None:
    before = state()
    with pytest.raises(ZeroDivisionError), quiet_process():
        assert not gc.isenabled()
        assert sys.getswitchinterval() == pytest.approx(scheduling.GIL_SWITCH_S)
        assert set(blas_threads()) <= {1}
        raise ZeroDivisionError
    assert state() == before


def test_threads_started_within_have_the_same_priority() -> None:
    found: list[int] = []
    with quiet_process() as granted:
        mine = os.sched_getscheduler(0)
        thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
    assert found == [mine]
    assert granted.priority.startswith("SCHED_FIFO") == (mine == os.SCHED_FIFO)


def refuse(*_: object) -> None:
    raise PermissionError


def test_what_is_refused_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    before = state()
    monkeypatch.setattr(scheduling.os, "sched_setscheduler", refuse)
    monkeypatch.setattr(scheduling.os, "setpriority", lambda *_: None)
    assert raise_priority(10) == f"nice {before[1]}"
    monkeypatch.setattr(scheduling.os, "setpriority", refuse)
    assert raise_priority(10) == "ordinary"
    with quiet_process() as granted:
        assert granted.priority == "ordinary"
    monkeypatch.undo()
    assert state() == before


def test_cores_are_kept_awake_while_the_kernels_file_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpu_dma_latency"
    monkeypatch.setattr(scheduling, "DMA_LATENCY", file)
    with cores_awake() as awake:
        assert awake
        # The interface takes a signed 32-bit number of microseconds.
        assert file.read_bytes() == bytes(4)
    monkeypatch.setattr(scheduling, "DMA_LATENCY", tmp_path / "missing" / "file")
    with cores_awake() as awake:
        assert not awake


# --- memory ---------------------------------------------------------------------------------------


def lock_in_a_process(code: str) -> str:
    """What a process of its own says; locking here would stay with pytest if a test failed."""
    done = subprocess.run(
        [sys.executable, "-c", "from realtime import memory_lock\n" + code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.strip()


@pytest.mark.skipif(not memory_lock.may_lock_all(), reason="RLIMIT_MEMLOCK is finite here")
def test_memory_is_locked_as_it_is_touched_and_given_back() -> None:
    """64 MB that are only asked for cost nothing; touched, they are locked.

    1 MB of slack: the interpreter's own heap moves meanwhile, and shared pages count in shares.
    """
    said = lock_in_a_process(
        "import mmap\n"
        "with memory_lock.locked_memory() as told:\n"
        "    m = mmap.mmap(-1, 1 << 26)\n"
        "    def rss(): return [int(l.split()[1]) for l in open('/proc/self/smaps_rollup')\n"
        "        if l.startswith(('Rss', 'Locked'))]\n"
        "    before = rss(); m[:] = bytes(1 << 26); after = rss()\n"
        "print(told, after[0] - before[0] > 64512, after[1] - before[1] > 64512,\n"
        "    before[0] < 65536, memory_lock.locked_kb())"
    )
    assert said == "locked True True True 0"


def test_under_a_limit_nothing_later_fails() -> None:
    """With 8 MB allowed, locking the future would make the next large allocation fail."""
    said = lock_in_a_process(
        "import resource\n"
        "memory_lock.has_capability = lambda number: False\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 << 20, 8 << 20))\n"
        "flags = []\n"
        "class Libc:\n"
        "    def mlockall(self, wanted): flags.append(wanted); return 0\n"
        "memory_lock._libc = Libc\n"
        "print(memory_lock.lock_memory(), flags)"
    )
    assert said == "locked what there was at the start [5]"


def test_a_refused_lock_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def mlockall(self, flags: int) -> int:
            ctypes.set_errno(errno.ENOMEM)
            return -1

    monkeypatch.setattr(memory_lock, "_libc", Refusing)
    with memory_lock.locked_memory() as told:
        assert told.startswith("not locked (Cannot allocate memory")
    with memory_lock.locked_memory(wanted=False) as told:
        assert told == "not locked (not asked for)"


# --- cores ----------------------------------------------------------------------------------------


def test_cores_are_taken_by_threads_started_within_and_given_back() -> None:
    before, found = usable_cores(), []
    one = before[-1]
    with quiet_process(wanted=SchedulingSettings(cores=(one,))) as granted:
        thread = threading.Thread(target=lambda: found.append(usable_cores()))
        thread.start()
        thread.join()
    assert found == [(one,)] == [granted.cores]
    assert usable_cores() == before


def test_cores_that_are_not_there_are_refused() -> None:
    before = usable_cores()
    for cores in ((4095,), (before[0], 4095)):
        with (
            pytest.raises(SettingsError, match="4095 are not all to be had"),
            quiet_process(wanted=SchedulingSettings(cores=cores)),
        ):
            pass
        assert usable_cores() == before


def test_the_player_has_its_own_cores_and_priority(tmp_path: Path) -> None:
    """Pinned or not, and whatever its parent runs on and under."""
    cores = usable_cores()
    for asked in ((), cores[-1:]):
        settings = PlayoutSettings(sink="null", cores=asked)
        with quiet_process(wanted=SchedulingSettings(cores=cores[:1])) as granted:
            playout = open_playout(settings)
        child = playout.pid
        assert child is not None
        try:
            assert tuple(sorted(os.sched_getaffinity(child))) == (asked or cores)
            if granted.priority.startswith("SCHED_FIFO"):
                assert os.sched_getparam(child).sched_priority == scheduling.PLAYER_PRIORITY
        finally:
            playout.stop()
    with pytest.raises(AudioError, match="cores 4095 are not all to be had"):
        open_playout(PlayoutSettings(sink="null", cores=(4095,)))


def test_ordinary_means_ordinary() -> None:
    before = state()
    with quiet_process(wanted=SchedulingSettings(raised=False)) as granted:
        assert granted.priority == "ordinary"
        assert os.sched_getscheduler(0) == before[0]


# --- garbage collection ---------------------------------------------------------------------------


def test_no_collection_during_hops_and_none_needed(tiny_bundle: Path) -> None:
    """Counted by the interpreter's own callbacks; afterwards next to nothing was left to collect.

    20 unreachable objects in 2000 hops: a cycle per hop would leave 2000 and more.
    """
    pipeline = Pipeline.from_bundle(load_bundle(tiny_bundle))
    seeg, seen = noise_uv(2000 * 0.015), []
    note = lambda phase, info: seen.append(phase)  # noqa: E731
    list(pipeline.hops(seeg[:1024]))
    with quiet_process():
        gc.callbacks.append(note)
        try:
            # As bursts of 16 samples, as the service has it.
            hops = sum(
                1 for k in range(1024, len(seeg), 16) for _ in pipeline.hops(seeg[k : k + 16])
            )
        finally:
            gc.callbacks.remove(note)
        left = gc.collect()
    assert hops > 1900
    assert seen == []
    assert left < 20
