"""How the process of the hop path runs: at once when it is due, and not held up by itself."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from threadpoolctl import threadpool_limits

from models.errors import SettingsError
from models.spec import Model
from realtime.memory_lock import locked_memory

HOP_PRIORITY = 10
"""SCHED_FIFO priority of the decoder's process where the system permits it."""
PLAYER_PRIORITY = 20
"""Of the player, which needs 2 % of a core, at once."""
NICE = -15
"""Where only the nice level may be raised."""
GIL_SWITCH_S = 0.0005
ORDINARY = "ordinary"
DMA_LATENCY = Path("/dev/cpu_dma_latency")


class SchedulingSettings(Model):
    """What is asked of the system for the hop path; what it permits is in the record."""

    raised: bool = Field(
        True, description="ask for SCHED_FIFO, else a nice level, ahead of ordinary programs"
    )
    lock_memory: bool = Field(True, description="keep the process's memory from being swapped out")
    cores: tuple[int, ...] = Field(
        (), description="run the decoder on these cores only; none: on any"
    )


@dataclass(frozen=True)
class Granted:
    """What the system permitted.

    `priority` and `memory` in words, `cores` in use, and whether they are kept from sleeping.
    """

    priority: str
    cores_awake: bool
    memory: str
    cores: tuple[int, ...]


def raise_priority(priority: int | None) -> str:
    """Run this thread, and those it starts from now on, ahead of ordinary programs.

    Tries SCHED_FIFO (unless `priority` is None), then the nice level; returns what was granted,
    which may be nothing: `seegvox doctor` says what to grant.
    """
    if priority is not None and hasattr(os, "sched_setscheduler"):
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            return f"SCHED_FIFO {priority}"
    if hasattr(os, "setpriority"):
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, min(os.getpriority(os.PRIO_PROCESS, 0), NICE))
            return f"nice {os.getpriority(os.PRIO_PROCESS, 0)}"
    return ORDINARY


@contextmanager
def quiet_process(
    real_time: bool = True, wanted: SchedulingSettings | None = None
) -> Iterator[Granted]:
    """What the hop path runs under, and the threads started within; yields what was granted.

    `real_time=False` is for work without pauses: of that the kernel stops real-time threads for
    50 ms in every second.

    No garbage collection: what exists is frozen, and no cycles arise per hop. No BLAS threads:
    products of 80 x 361 gain nothing from a second one, which spins on the core that playout
    needs. One priority for all threads, and a short turn at the interpreter lock: a log thread
    that holds the lock while something else has its core would hold the hop up for as long.

    Raises
    ------
    SettingsError
        If `wanted` names cores that this process may not use.
    """
    wanted = wanted or SchedulingSettings()
    with (
        _no_collection(),
        _on_cores(wanted.cores) as cores,
        _raised(HOP_PRIORITY if real_time else None, wanted.raised) as priority,
        cores_awake() as awake,
        locked_memory(wanted.lock_memory) as memory,
        threadpool_limits(limits=1, user_api="blas"),
    ):
        yield Granted(priority, awake, memory, cores)


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    turn = sys.getswitchinterval()
    sys.setswitchinterval(GIL_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(turn)
        gc.enable()
        gc.unfreeze()


@contextmanager
def cores_awake() -> Iterator[bool]:
    """Keep idle cores from sleeping, where permitted; yields whether they are.

    A wake-up from deep sleep, or on a virtual machine the host's turn to run a halted core, takes
    up to 15 ms; the kernel's power-management interface holds it off while the file is open
    (docs.kernel.org/power/pm_qos_interface.html).
    """
    try:
        file = DMA_LATENCY.open("wb", buffering=0)
    except OSError:
        yield False
        return
    with file:
        file.write((0).to_bytes(4, sys.byteorder, signed=True))
        yield True


# --- cores ----------------------------------------------------------------------------------------


def usable_cores() -> tuple[int, ...]:
    """Cores that this thread may run on."""
    if not hasattr(os, "sched_getaffinity"):
        return tuple(range(os.cpu_count() or 1))
    return tuple(sorted(os.sched_getaffinity(0)))


def use_cores(cores: Sequence[int]) -> None:
    """Run this thread, and what it starts from now on, on these cores.

    Raises
    ------
    SettingsError
        If one of them does not exist or may not be used.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise SettingsError("cores are named", "none: this system has no affinity", "name none")
    before = usable_cores()
    with suppress(OSError):
        os.sched_setaffinity(0, cores)
    # The kernel leaves out in silence what does not exist.
    if set(usable_cores()) != set(cores):
        os.sched_setaffinity(0, before)
        raise SettingsError(
            f"cores {_listed(cores)} are not all to be had",
            f"some of {_listed(before)}",
            "change `cores` in [scheduling] or [playout]",
        )


def any_core() -> None:
    """Undo for this process what it inherited from a parent that runs on few cores."""
    if hasattr(os, "sched_setaffinity"):
        # The kernel leaves out what does not exist or is not allowed.
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


@contextmanager
def _on_cores(cores: Sequence[int]) -> Iterator[tuple[int, ...]]:
    before = usable_cores()
    if cores:
        use_cores(cores)
    try:
        yield usable_cores()
    finally:
        if cores:
            os.sched_setaffinity(0, before)


def _listed(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores))


# --- priority -------------------------------------------------------------------------------------


@contextmanager
def _raised(priority: int | None, wanted: bool) -> Iterator[str]:
    before = _Priority.now()
    granted = raise_priority(priority) if wanted else ORDINARY
    try:
        yield granted
    finally:
        if granted != ORDINARY:
            before.restore()


@dataclass(frozen=True)
class _Priority:
    """Scheduling of one thread."""

    policy: int
    real_time: int
    nice: int

    @classmethod
    def now(cls) -> _Priority:
        fifo = hasattr(os, "sched_getscheduler")
        return cls(
            os.sched_getscheduler(0) if fifo else 0,
            os.sched_getparam(0).sched_priority if fifo else 0,
            os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else 0,
        )

    def restore(self) -> None:
        if hasattr(os, "sched_setscheduler"):
            os.sched_setscheduler(0, self.policy, os.sched_param(self.real_time))
        with suppress(PermissionError):
            # Some systems let nobody back up.
            os.setpriority(os.PRIO_PROCESS, 0, self.nice)
