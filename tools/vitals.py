"""What a process holds, over time: memory, handles, threads; and whether any of it grows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.environment import resident_mb

# Before that, arenas fill, pages are touched for the first time and libraries load.
WARM_UP_SHARE, LONGEST_WARM_UP_S = 0.2, 3600.0


@dataclass(frozen=True)
class Vital:
    """One reading; `at_s` on whatever clock the run has."""

    at_s: float
    resident_mb: float
    handles: int
    threads: int


@dataclass
class Vitals:
    """Readings of this process."""

    readings: list[Vital] = field(default_factory=list)

    def read(self, at_s: float) -> None:
        """Take one reading."""
        self.readings.append(Vital(at_s, resident_mb(), handles(), threads()))

    def summary(self) -> dict[str, Any]:
        """First, last and extreme values after the warm-up, and memory's growth in MB per hour."""
        if len(self.readings) < 3:
            return {"readings": [asdict(vital) for vital in self.readings]}
        settled = after_warm_up(self.readings)
        at, memory = _column(settled, "at_s"), _column(settled, "resident_mb")
        return {
            "warm_up_s": round(settled[0].at_s - self.readings[0].at_s, 1),
            "resident_mb": _extent(memory),
            "resident_growth_mb_per_h": round(growth_per_hour(at, memory), 3),
            "handles": _extent(_column(settled, "handles")),
            "threads": _extent(_column(settled, "threads")),
        }


def after_warm_up(readings: Sequence[Vital]) -> Sequence[Vital]:
    """Readings after the first fifth of the run, or its first hour if that is shorter."""
    begin, end = readings[0].at_s, readings[-1].at_s
    warm = begin + min(WARM_UP_SHARE * (end - begin), LONGEST_WARM_UP_S)
    return [vital for vital in readings if vital.at_s >= warm]


def growth_per_hour(at_s: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """Slope of a line through all readings (least squares), per hour."""
    if len(at_s) < 2 or np.ptp(at_s) == 0:
        return float("nan")
    return 3600.0 * float(np.polyfit(at_s - at_s[0], value, 1)[0])


def handles() -> int:
    """Open file descriptors of this process; -1 where `/proc` does not tell."""
    try:
        # One is that of the listing itself.
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return -1


def threads() -> int:
    """Threads of this process, those of libraries too; -1 where `/proc` does not tell."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return -1


def _column(readings: Sequence[Vital], name: str) -> NDArray[np.float64]:
    return np.array([getattr(vital, name) for vital in readings], np.float64)


def _extent(values: NDArray[np.float64]) -> dict[str, float]:
    first, last = float(values[0]), float(values[-1])
    low, high = float(values.min()), float(values.max())
    return {"first": round(first, 2), "last": round(last, 2), "min": low, "max": high}
