"""Lab Streaming Layer: library, configuration, discovery, clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from tools.findings import Finding

OLDEST_LIBLSL = 118
_FOUND_WITHIN_S = 2.0
_CLOCK_S = 0.3
# liblsl reads the monotonic clock; reading both takes microseconds.
_SAME_CLOCK_S = 1e-3
_SAME_RATE_PPM = 100.0


def liblsl() -> list[Finding]:
    """The library's version."""
    import pylsl

    version = pylsl.library_version()
    found = f"{version // 100}.{version % 100} (pylsl {getattr(pylsl, '__version__', 'unknown')})"
    if version < OLDEST_LIBLSL:
        todo = "pip install --upgrade pylsl; older ones overlook streams of this machine"
        return [Finding("liblsl", "problem", found, todo)]
    return [Finding("liblsl", "ok", found)]


def config_in_force(
    environ: Mapping[str, str], here: Path, home: Path, system: Path
) -> tuple[Path | None, list[Path]]:
    """The configuration file that liblsl reads, and others that lie there without effect.

    Order of liblsl: LSLAPICFG, then ./lsl_api.cfg, ~/lsl_api/lsl_api.cfg, /etc/lsl_api/lsl_api.cfg.
    """
    named = environ.get("LSLAPICFG")
    places = [here / "lsl_api.cfg", home / "lsl_api/lsl_api.cfg", system / "lsl_api/lsl_api.cfg"]
    present = [path for path in ([Path(named)] if named else []) + places if path.is_file()]
    return (present[0], present[1:]) if present else (None, [])


def lsl_configuration() -> list[Finding]:
    """Which lsl_api.cfg is in force, and whether one lies about in the current directory."""
    here = Path.cwd()
    used, idle = config_in_force(os.environ, here, Path.home(), Path("/etc"))
    findings = [_named_but_missing(), _in_force(used, idle, here)]
    return [finding for finding in findings if finding]


def _named_but_missing() -> Finding | None:
    named = os.environ.get("LSLAPICFG")
    if not named or Path(named).is_file():
        return None
    return Finding(
        "LSL configuration",
        "problem",
        f"LSLAPICFG names {named}, which is no file",
        "correct or unset LSLAPICFG",
    )


def _in_force(used: Path | None, idle: list[Path], here: Path) -> Finding:
    if used is None:
        return Finding("LSL configuration", "ok", "none: liblsl's defaults")
    unused = f"; without effect: {', '.join(map(str, idle))}" if idle else ""
    found = f"{used} is in force{unused}"
    stray = here / "lsl_api.cfg"
    if stray == used:
        todo = (
            "it applies only in this directory: if that is not meant, move it to "
            "~/lsl_api/lsl_api.cfg or remove it"
        )
        return Finding("LSL configuration", "problem", found, todo)
    if stray in idle:
        todo = "remove it: it takes effect as soon as LSLAPICFG is unset"
        return Finding("LSL configuration", "note", found, todo)
    return Finding("LSL configuration", "ok", found)


def lsl_discovery() -> list[Finding]:
    """Whether an outlet of this process is found, as an amplifier on this machine would be."""
    import pylsl

    from models.errors import StreamError
    from realtime.streams import StreamQuery, resolve_one

    source = f"seegvox-doctor-{uuid4().hex}"
    info = pylsl.StreamInfo("seegvox doctor", "doctor", 1, 0.0, pylsl.cf_float32, source)
    outlet = pylsl.StreamOutlet(info)
    start = time.monotonic()
    try:
        resolve_one(StreamQuery(source_id=source, timeout_s=_FOUND_WITHIN_S))
    except StreamError:
        return [
            Finding(
                "LSL discovery",
                "problem",
                f"an outlet of this process was not found within {_FOUND_WITHIN_S:g} s",
                "let UDP 16571 and TCP and UDP 16572-16604 through the firewall, allow multicast "
                "on the loopback (ip link set lo multicast on), or list this machine under "
                "[lab] KnownPeers in lsl_api.cfg",
            )
        ]
    finally:
        del outlet
    return [Finding("LSL discovery", "ok", f"own outlet found in {time.monotonic() - start:.2f} s")]


def lsl_clock() -> list[Finding]:
    """Agreement of `pylsl.local_clock` with `time.monotonic`."""
    import pylsl

    before_at, before = clock_offset(pylsl.local_clock)
    time.sleep(_CLOCK_S)
    after_at, after = clock_offset(pylsl.local_clock)
    ppm = 1e6 * (after - before) / (after_at - before_at)
    found = f"LSL clock is {before * 1e3:+.3f} ms from time.monotonic, {ppm:+.1f} ppm"
    if abs(ppm) > _SAME_RATE_PPM:
        todo = "latencies cannot be trusted here: restart, and look at the kernel's clock source"
        return [Finding("clocks", "problem", found, todo)]
    if abs(before) > _SAME_CLOCK_S:
        todo = "no harm to seegvox, which uses the LSL clock alone; do not mix both in scripts"
        return [Finding("clocks", "note", found, todo)]
    return [Finding("clocks", "ok", found)]


def clock_offset(clock: Callable[[], float], readings: int = 50) -> tuple[float, float]:
    """When, and by how much, `clock` is ahead of `time.monotonic`, s.

    Of several readings, each between two of `time.monotonic`, the least interrupted counts.
    """
    best = (float("inf"), 0.0, 0.0)
    for _ in range(readings):
        start = time.monotonic()
        told = clock()
        stop = time.monotonic()
        best = min(best, (stop - start, (start + stop) / 2, told - (start + stop) / 2))
    return best[1], best[2]
