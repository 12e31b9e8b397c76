"""Keep the memory of the hop path in memory: a page that was swapped out takes a disk to come back.

`mlockall` with `MCL_ONFAULT` (Linux 4.4): pages are locked as they are first touched, so that
thread stacks and arenas that are never used cost nothing. The price of a limit: with a finite
RLIMIT_MEMLOCK and no CAP_IPC_LOCK, locking what is yet to come would make later allocations fail
in the middle of a session; then only what is there at the start is locked, if it fits.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# <sys/mman.h> of Linux; the same on all architectures that it and CPython share today but
# alpha, powerpc and sparc.
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
_OTHER_NUMBERS = ("ppc", "sparc", "alpha")
CAP_IPC_LOCK = 14
NOT_LOCKED = "not locked"


@contextmanager
def locked_memory(wanted: bool = True) -> Iterator[str]:
    """Lock this process's memory where permitted; yields in words what is locked."""
    if not wanted:
        yield f"{NOT_LOCKED} (not asked for)"
        return
    told = lock_memory()
    try:
        yield told
    finally:
        if not told.startswith(NOT_LOCKED):
            _libc().munlockall()


def lock_memory() -> str:
    """Lock what this process has and, where no limit forbids it, what it will have; in words."""
    if not sys.platform.startswith("linux") or os.uname().machine.startswith(_OTHER_NUMBERS):
        return f"{NOT_LOCKED} (not known how on this system)"
    flags, told = MCL_CURRENT | MCL_ONFAULT, "locked what there was at the start"
    if may_lock_all():
        flags, told = flags | MCL_FUTURE, "locked"
    libc = _libc()
    if libc.mlockall(flags) == 0:
        return told
    why = os.strerror(ctypes.get_errno())
    return f"{NOT_LOCKED} ({why}; `seegvox doctor` says what to grant)"


def may_lock_all() -> bool:
    """Whether nothing limits the memory that this process may lock."""
    import resource

    if has_capability(CAP_IPC_LOCK):
        return True
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY


def has_capability(number: int) -> bool:
    """Whether this process holds a Linux capability."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    held = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")]
    return bool(held) and bool(int(held[0], 16) >> number & 1)


def locked_kb() -> int:
    """Locked memory of this process as the kernel counts it (`VmLck`), kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmLck"):
            return int(line.split()[1])
    return 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
