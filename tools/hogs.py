"""Programs that compete for every core, for measuring what the hop path bears."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Ordinary, whatever its parent is; ends by itself when that is gone, looking now and then.
_HOG = (
    "import os, sys\n"
    "if hasattr(os, 'sched_setscheduler'):\n"
    "    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))\n"
    "if os.getpriority(os.PRIO_PROCESS, 0) < 0:\n"
    "    os.setpriority(os.PRIO_PROCESS, 0, 0)\n"
    "parent = int(sys.argv[1])\n"
    "while os.getppid() == parent:\n"
    "    for _ in range(2_000_000):\n"
    "        pass\n"
)


@contextmanager
def hogs(per_core: int = 1) -> Iterator[int]:
    """Run busy processes of ordinary priority, `per_core` for each core; yields how many."""
    count = per_core * (os.cpu_count() or 1)
    command = [sys.executable, "-c", _HOG, str(os.getpid())]
    running = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield count
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()
