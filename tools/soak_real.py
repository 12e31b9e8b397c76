"""Minutes of the real service: LSL from another process, the record, the player, at true pace.

With hogs: one busy process of ordinary priority for each core, for a part of the run. The simulated
amplifier then gets real-time priority where permitted, since it stands for hardware. To see what
happens without permission, take it away: `setpriv --bounding-set -sys_nice seegvox soak ...`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pylsl
from numpy.typing import NDArray

from models.bundle import Bundle
from models.streaming import Floats
from realtime.scheduling import HOP_PRIORITY, raise_priority
from realtime.service import Service, stopped_by_signals
from realtime.settings import LiveSettings
from tools.amplifier import save_array, spawn_amplifier
from tools.hogs import hogs
from tools.soak_virtual import drift
from tools.vitals import Vitals

READ_S = 5.0
STRETCH_HOPS = 4000
# Above the decoder's and the player's own: a card in a computer does not wait for a core.
HARDWARE_PRIORITY = 40
# Caught up once this many hops in a row have come no later than hops did before the hogs.
CALM_HOPS = 20
# A hop's lag in quiet times varies by its place in the amplifier's packet; this is for the rest.
CALM_MS = 5.0


@dataclass(frozen=True)
class HogPlan:
    """Busy processes from `begin_s` after the first hop, for `seconds`; none if 0."""

    per_core: int = 0
    begin_s: float = 20.0
    seconds: float = 60.0


@dataclass
class HogTimes:
    """When they ran, on the LSL clock; NaN if they did not."""

    begin: float = float("nan")
    end: float = float("nan")


def soak(
    bundle: Bundle,
    seeg: Floats,
    minutes: float,
    folder: Path,
    playout: dict[str, Any],
    plan: HogPlan,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Run the service for `minutes` on `seeg` in a loop, recording into `folder`/run.

    Raises
    ------
    SeegvoxError
        As the service does.
    """
    source_id, spec = uuid4().hex, bundle.spec
    save_array(folder / "amplifier.npy", seeg, spec.fs_hz, spec.contacts)
    settings = LiveSettings.model_validate(
        {
            "bundle": bundle.path,
            "out": folder / "run",
            "seconds": 60 * minutes,
            "stream": {"source_id": source_id, "timeout_s": 30},
            "playout": playout,
        }
    )
    service, vitals, times = Service(settings, tell), Vitals(), HogTimes()
    options = ("--source-id", source_id, "--loop", "--burst", "16", "--wait")
    with spawn_amplifier(folder / "amplifier.npy", *options) as amplifier:
        as_hardware(amplifier.pid)
        with _Beside(service, vitals, plan, times), stopped_by_signals(service):
            facts = service.run()
    return {
        "minutes": minutes,
        "facts": {k: v for k, v in facts.items() if k != "resident_mb_every_10_s"},
        "vitals": vitals.summary(),
        **_hops(folder / "run", times),
    }


def as_hardware(pid: int) -> bool:
    """Let all threads of a process run ahead of everything here; False if not permitted."""
    with suppress(PermissionError, OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            parameter = os.sched_param(HARDWARE_PRIORITY)
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, parameter)
        return True
    return False


class _Beside:
    """Vitals and hogs, in threads of their own, from the first hop on.

    They have the priority of the service's own threads: one that holds the interpreter and has to
    wait for a core would hold the hop up for as long (57 ms here, beside 17 busy programs).
    """

    def __init__(self, service: Service, vitals: Vitals, plan: HogPlan, times: HogTimes) -> None:
        self._service, self._vitals, self._plan, self._times = service, vitals, plan, times
        self._stop = threading.Event()
        work = [self._read, self._disturb] if plan.per_core else [self._read]
        self._threads = [threading.Thread(target=target) for target in work]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        raise_priority(HOP_PRIORITY)
        while not self._stop.wait(READ_S):
            # While parts are being closed, handles go, and that is no news.
            if self._service.running and self._service.state != "stopped":
                self._vitals.read(time.monotonic())

    def _disturb(self) -> None:
        raise_priority(HOP_PRIORITY)
        while not self._service.running:
            if self._stop.wait(0.1):
                return
        if self._stop.wait(self._plan.begin_s):
            return
        with hogs(self._plan.per_core) as count:
            self._times.begin = pylsl.local_clock()
            print(f"{count} hogs for {self._plan.seconds:g} s", file=sys.stderr, flush=True)
            self._stop.wait(self._plan.seconds)
        self._times.end = pylsl.local_clock()


# --- figures --------------------------------------------------------------------------------------


def _hops(folder: Path, times: HogTimes) -> dict[str, Any]:
    from realtime.record.reading import read_run

    run = read_run(folder)
    hops = run.hops
    compute_ms = 1e3 * (hops["handed_over"] - hops["available"])
    own_ms = 1e3 * (hops["limiter"] - hops["started"])
    ends = [*range(STRETCH_HOPS, len(hops), STRETCH_HOPS), len(hops)]
    stretches = [
        {
            "until_hop": end,
            "hop_p50_ms": _percentile(own_ms[max(0, end - STRETCH_HOPS) : end], 50),
            "hop_p99_ms": _percentile(own_ms[max(0, end - STRETCH_HOPS) : end], 99),
        }
        for end in ends
    ]
    return {
        "hops": len(hops),
        "late_hops": int(np.count_nonzero(hops["late"])),
        "hop_ms": {q: _percentile(own_ms, q) for q in (50, 99, 99.9, 100)},
        "hop_compute_ms": {q: _percentile(compute_ms, q) for q in (50, 99, 99.9, 100)},
        "transport_ms": {q: _percentile(_transport_ms(hops), q) for q in (50, 99, 99.9, 100)},
        "stretches": stretches,
        "hop_p50_drift": drift(stretches, "hop_p50_ms"),
        "hop_p99_drift": drift(stretches, "hop_p99_ms"),
        "granted": {k: run.about.get(k) for k in ("priority", "cores_awake", "memory", "cores")},
        "hogs": None if np.isnan(times.begin) else under_hogs(hops, times),
    }


def under_hogs(hops: NDArray[np.void], times: HogTimes) -> dict[str, Any]:
    """Late hops while the hogs ran, and how long after their end hops came as before again.

    Lag is from a hop's last sample to its handover, so what waits in LSL's queue counts, too.
    """
    handed = hops["handed_over"]
    lag_ms = 1e3 * (handed - hops["lsl_time"] - hops["clock_offset"])
    before, after = handed < times.begin, handed > times.end
    during = ~before & ~after
    late = int(np.count_nonzero(hops["late"][during]))
    settled = before & (handed > handed[0] + 5.0)
    usual = float(np.percentile(lag_ms[settled], 99.9)) + CALM_MS
    return {
        "seconds": round(times.end - times.begin, 1),
        "hops": int(np.count_nonzero(during)),
        "late_hops": late,
        "late_percent": round(100 * late / max(1, int(np.count_nonzero(during))), 4),
        "lag_before_ms": {q: _percentile(lag_ms[settled], q) for q in (50, 99, 100)},
        "lag_during_ms": {q: _percentile(lag_ms[during], q) for q in (50, 99, 100)},
        "caught_up_after_ms": _caught_up_ms(handed[after] - times.end, lag_ms[after] <= usual),
    }


def _caught_up_ms(since_s: NDArray[np.float64], calm: NDArray[np.bool_]) -> float | None:
    """Time of the first of `CALM_HOPS` calm hops in a row; None if there are none."""
    if len(calm) < CALM_HOPS:
        return None
    run = np.convolve(calm, np.ones(CALM_HOPS), "valid") == CALM_HOPS
    return round(1e3 * float(since_s[int(np.argmax(run))]), 1) if run.any() else None


def _transport_ms(hops: NDArray[np.void]) -> NDArray[np.float64]:
    transport: NDArray[np.float64] = 1e3 * (
        hops["available"] - hops["lsl_time"] - hops["clock_offset"]
    )
    return transport


def _percentile(values: NDArray[np.float64], q: float) -> float:
    return round(float(np.percentile(values, q)), 3) if len(values) else float("nan")
