"""What a measurement or a record must say of the machine that made it."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "seegvox",
    "numpy",
    "scipy",
    "onnxruntime",
    "pylsl",
    "sounddevice",
    "samplerate",
    "h5py",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages on the hop path."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def environment() -> dict[str, Any]:
    """Processor, cores, governor, kernel, priority, load and versions."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "kernel": platform.release(),
        "system": platform.system(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "scheduler": os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None,
        "load": os.getloadavg(),
        "versions": versions(),
    }


def _cpu() -> str:
    lines = (_read("/proc/cpuinfo") or "").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def resident_mb() -> float:
    """Resident memory of this process, MB; NaN where `/proc` does not tell."""
    for line in (_read("/proc/self/status") or "").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def process_age_s() -> float:
    """Seconds since this process was started; NaN where `/proc` does not tell."""
    told = _read("/proc/self/stat")
    if told is None or not hasattr(time, "CLOCK_BOOTTIME"):
        return float("nan")
    # The second field, the program's name, may hold spaces; the start is the 22nd.
    started = int(told.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
