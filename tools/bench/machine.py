"""The machine that a benchmark ran on, and what else it did meanwhile."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realtime.environment import environment

_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """What `realtime.environment` says, the code's commit, and at the end what happened meanwhile.

    Yields the dictionary; after the block it also has `load_after`, `steal_s` (time that the host
    gave to others, all cores), `context_switches` and `page_faults` of this process.
    """
    told = {**environment(), "commit": commit(), "clock": _clock()}
    before = _counts()
    try:
        yield told
    finally:
        after = _counts()
        told["load_after"] = environment()["load"]
        told["meanwhile"] = {name: round(after[name] - value, 3) for name, value in before.items()}


def commit() -> str | None:
    """The commit of this code, with `+` if files differ from it; None outside a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return None
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _clock() -> str | None:
    path = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _counts() -> dict[str, float]:
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "steal_s": _steal_s(),
        "voluntary_switches": used.ru_nvcsw,
        "involuntary_switches": used.ru_nivcsw,
        "minor_faults": used.ru_minflt,
        "major_faults": used.ru_majflt,
        "cpu_s": used.ru_utime + used.ru_stime,
    }


def _steal_s() -> float:
    """Time in which the host ran something else, of all cores, s; NaN where `/proc` is silent."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return float("nan")
    return int(fields[8]) / os.sysconf("SC_CLK_TCK") if len(fields) > 8 else float("nan")
