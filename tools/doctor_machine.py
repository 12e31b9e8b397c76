"""The machine: sound, timers, priorities, processor."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from realtime.memory_lock import CAP_IPC_LOCK, has_capability
from tools.findings import Finding

_SLEEPS, _SLEEP_S = 200, 1e-3
_LATE_TIMER_MS, _BROKEN_TIMER_MS = 2.0, 5.0
_PRIORITY = 70
_CAP_SYS_NICE = 23
_ISOLATED = Path("/sys/devices/system/cpu/isolated")
_RT, _RT_FILES = Path("/proc/sys/kernel"), ("sched_rt_runtime_us", "sched_rt_period_us")
_LEAST_RT_SHARE, _USUAL_RT_US = 90.0, 950_000
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def sound() -> list[Finding]:
    """PortAudio and its outputs."""
    from realtime.devices import list_outputs, portaudio, usable_output

    why_not = usable_output()
    if why_not:
        return [Finding("sound", "problem", why_not, "`seegvox devices` lists what there is")]
    version = portaudio().get_portaudio_version()[1]
    outputs = list_outputs()
    chosen = next((d.name for d in outputs if d.default), outputs[0].name)
    return [Finding("sound", "ok", f"{version}; {len(outputs)} outputs, default {chosen}")]


def timers() -> list[Finding]:
    """How much longer than asked a sleep of 1 ms takes."""
    over = sorted(_overshoot_ms() for _ in range(_SLEEPS))
    p50, p99 = over[_SLEEPS // 2], over[int(0.99 * _SLEEPS) - 1]
    found = f"sleep(1 ms) overshoots by {p50:.3f} ms (p50), {p99:.3f} ms (p99)"
    if p50 > _BROKEN_TIMER_MS:
        todo = "the system's timers are too coarse for hops of 15 ms: use a kernel with hrtimers"
        return [Finding("timers", "problem", found, todo)]
    if p99 > _LATE_TIMER_MS:
        todo = "something else keeps the processor busy: close it, or grant real-time priority"
        return [Finding("timers", "note", found, todo)]
    return [Finding("timers", "ok", found)]


def _overshoot_ms() -> float:
    start = time.perf_counter()
    time.sleep(_SLEEP_S)
    return 1e3 * (time.perf_counter() - start - _SLEEP_S)


# --- what this process may ask for --------------------------------------------------------------


def real_time_priority() -> list[Finding]:
    """Whether SCHED_FIFO is allowed: tried, since containers refuse what limits would allow."""
    most = _limit("RLIMIT_RTPRIO")
    if most is None:
        return [Finding("real-time priority", "note", "this system has no RLIMIT_RTPRIO")]
    with ThreadPoolExecutor(1) as thread:
        refused = thread.submit(_try_fifo).result()
    if refused is None:
        return [Finding("real-time priority", "ok", "a thread may take SCHED_FIFO")]
    found = f"SCHED_FIFO is refused ({refused}; RLIMIT_RTPRIO {most:g})"
    return [Finding("real-time priority", "note", found, _grant(f"rtprio {_PRIORITY}"))]


def _try_fifo() -> str | None:
    """Why the calling thread may not take SCHED_FIFO; None if it did. Give it a thread to spend."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError as err:
        return err.strerror
    return None


def nice_level() -> list[Finding]:
    """How far the nice level may be lowered."""
    now = os.getpriority(os.PRIO_PROCESS, 0)
    if has_capability(_CAP_SYS_NICE):
        return [Finding("nice", "ok", f"{now} now, down to -20 allowed (CAP_SYS_NICE)")]
    limit = _limit("RLIMIT_NICE")
    if limit is None:
        return [Finding("nice", "note", f"{now} now; this system has no RLIMIT_NICE")]
    # The limit counts from 20 downwards: 31 allows -11.
    lowest = max(-20.0, 20 - limit)
    if lowest < 0:
        return [Finding("nice", "ok", f"{now} now, down to {lowest:g} allowed")]
    return [Finding("nice", "note", f"{now} now, no raise allowed", _grant("nice -11"))]


def awake_cores() -> list[Finding]:
    """Whether idle cores may be kept from sleeping, which costs milliseconds at every wake-up."""
    from realtime.scheduling import DMA_LATENCY

    if not DMA_LATENCY.exists():
        return [Finding("core sleep", "note", f"this system has no {DMA_LATENCY}")]
    if os.access(DMA_LATENCY, os.W_OK):
        return [Finding("core sleep", "ok", "may be held off during a run")]
    rule = 'KERNEL=="cpu_dma_latency", GROUP="audio", MODE="0660"'
    todo = f"put {rule} into /etc/udev/rules.d/99-seegvox.rules as root and join the group audio"
    return [Finding("core sleep", "note", f"{DMA_LATENCY} is not writable", todo)]


def memory_lock() -> list[Finding]:
    """Whether a session's memory may be kept from being swapped out."""
    limit = _limit("RLIMIT_MEMLOCK")
    if limit is None:
        return [Finding("memory lock", "note", "this system has no RLIMIT_MEMLOCK")]
    told = "without limit" if limit == float("inf") else f"{limit / 2**20:.1f} MB"
    if has_capability(CAP_IPC_LOCK):
        return [Finding("memory lock", "ok", f"{told}, overridden by CAP_IPC_LOCK")]
    if limit == float("inf"):
        return [Finding("memory lock", "ok", told)]
    # Under any finite limit only what is there at the start is locked: later allocations that go
    # over the limit would fail.
    found = f"{told}: at most what there is at the start of a session is locked"
    return [Finding("memory lock", "note", found, _grant("memlock unlimited"))]


def affinity() -> list[Finding]:
    """Which cores may be used, and which are kept free of everything else."""
    from realtime.scheduling import usable_cores

    cores, usable = os.cpu_count() or 1, usable_cores()
    isolated = _isolated()
    if len(usable) < cores:
        found = f"only {_listed(usable)} of {cores} may be used"
        todo = "start it outside taskset, and outside a container or slice with a cpuset"
        return [Finding("cores", "note", found, todo)]
    if not isolated:
        found = f"all {cores} may be used, none is kept free"
        todo = (
            "where other programs must run beside a session, keep a core free: boot with "
            f"isolcpus={cores - 1} and set `cores = [{cores - 1}]` in [scheduling]"
        )
        return [Finding("cores", "ok" if cores > 2 else "note", found, todo)]
    found = f"all {cores} may be used; kept free at boot: {isolated}"
    return [Finding("cores", "ok", found, f"name them in [scheduling] as `cores` ({isolated})")]


def _isolated() -> str:
    try:
        return _ISOLATED.read_text().strip()
    except OSError:
        return ""


def _listed(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores))


def real_time_share() -> list[Finding]:
    """How much of a second the kernel leaves to real-time threads."""
    try:
        runtime, period = (int((_RT / name).read_text()) for name in _RT_FILES)
    except (OSError, ValueError):
        return [Finding("real-time share", "note", "not told here")]
    if runtime < 0:
        return [Finding("real-time share", "ok", "without limit")]
    share = 100 * runtime / period
    found = f"{share:.0f} % of each {period / 1e6:g} s"
    if share < _LEAST_RT_SHARE:
        todo = f"as root: echo {_USUAL_RT_US} > {_RT / _RT_FILES[0]}"
        return [Finding("real-time share", "note", found, todo)]
    return [Finding("real-time share", "ok", found)]


def _limit(name: str) -> float | None:
    """Soft limit of a resource; infinity where there is none, None where it is not known."""
    import resource

    if not hasattr(resource, name):
        return None
    soft: int = resource.getrlimit(getattr(resource, name))[0]
    return float("inf") if soft == resource.RLIM_INFINITY else float(soft)


def _grant(what: str) -> str:
    return (
        f"add '{_user()} - {what}' to /etc/security/limits.d/seegvox.conf as root and log in again"
    )


def _user() -> Any:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return os.getuid()


# --- processor ----------------------------------------------------------------------------------


def governor() -> list[Finding]:
    """Whether the processor is kept at full clock."""
    try:
        found = _GOVERNOR.read_text().strip()
    except OSError:
        return [Finding("CPU governor", "note", "not told here (usual in a virtual machine)")]
    if found == "performance":
        return [Finding("CPU governor", "ok", found)]
    todo = "for a session: sudo cpupower frequency-set -g performance"
    return [Finding("CPU governor", "note", found, todo)]


def load() -> list[Finding]:
    """Whether others keep the processor busy."""
    cores, busy = os.cpu_count() or 1, os.getloadavg()[0]
    found = f"{busy:.2f} over the last minute on {cores} cores"
    if busy > cores:
        todo = "other programs compete with the decoder: close them before a session or a benchmark"
        return [Finding("load", "note", found, todo)]
    return [Finding("load", "ok", found)]
