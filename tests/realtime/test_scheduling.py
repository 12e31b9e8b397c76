"""What the hop path runs under is granted, told, and given back."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_info

from realtime import scheduling
from realtime.scheduling import cores_awake, quiet_process, raise_priority


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
