"""One live run from outlet to captured sound.

    outlet (a process) -> LSL -> the service, here -> player (a process) -> sound server -> capture

A bare timer loop runs beside it, in a process of its own: what it loses, the machine took.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.errors import RecordingError
from models.mel import VOCODER_HOP
from models.streaming import Floats
from realtime.calibration.folder import Calibration
from realtime.pipeline import Pipeline
from realtime.record.reading import Run, read_run
from realtime.scheduling import Granted
from realtime.service import Service, stopped_by_signals
from realtime.settings import LiveSettings
from realtime.vocoders import FramewiseVocoder
from tools.bench.capture import read_captured
from tools.bench.heard import breaks, locate
from tools.bench.marker import Marked
from tools.bench.output import say
from tools.bench.processes import beside
from tools.bench.rounds import Times
from tools.bench.servers import sound_server
from tools.bench.waterfall import pieces_ms, stamps_of

# Playout's controller has found its place, the operating system its caches.
SETTLE_S = 5.0
# The last of the sound is faded out.
END_S = 1.0
# Opening of stream and sound, warm-up, the end.
AROUND_S = 60.0
_AROUND_HOPS = 4


@dataclass(frozen=True)
class LivePlan:
    """What a run is made with.

    `server` is `jack` or `pulse`; `burst` samples a packet; `period` frames of JACK's; `marked`
    adds the marker to what is decoded; `weights` none takes the bundle's own.
    """

    server: str
    burst: int
    seconds: float
    target_ms: float
    device_latency_ms: float
    period: int = 1024
    vocoder: str = "phase"
    weights: str | None = None
    marked: bool = True
    seed: int = 0


@dataclass(frozen=True)
class LiveRun:
    """What a run gave, of its settled part.

    `pieces` by name `(hops,)` ms; `stated_ms` `(hops,)` the playout that the service itself states;
    `score` of the correlation; `late` whether a hop was; `broken`
    hops at which the captured sound broke; `machine_ms` how late a bare timer woke; `facts` of the
    service; `xruns` that JACK lost.
    """

    plan: LivePlan
    pieces: dict[str, Times]
    stated_ms: Times
    score: Times
    late: NDArray[np.bool_]
    broken: NDArray[np.int64]
    machine_ms: Times
    facts: dict[str, Any]
    lookahead_ms: float
    xruns: int
    granted: dict[str, Any]

    @property
    def end_to_end_ms(self) -> Times:
        """From a hop's last sample being taken to its first sound, `(hops,)`."""
        whole: Times = np.sum(np.stack(list(self.pieces.values())), axis=0)
        return whole

    @property
    def pushed_to_heard_ms(self) -> Times:
        """Without the wait for the packet's end, `(hops,)`."""
        since: Times = self.end_to_end_ms - self.pieces["packet"]
        return since

    @property
    def stable(self) -> bool:
        """Whether the sound was whole: nothing ran dry, was trimmed or broke off."""
        return len(self.score) > 0 and len(self.broken) == 0

    def told(self) -> dict[str, Any]:
        """Counts, as JSON."""
        playout = self.facts["playout"]
        return {
            **asdict(self.plan),
            "hops": len(self.score),
            "found": int(np.isfinite(self.end_to_end_ms).sum()),
            "breaks": len(self.broken),
            "late_hops": int(self.late.sum()),
            "underruns": playout["underruns"],
            "trims": playout["trims"],
            "jack_xruns": self.xruns,
            "playout_p50_ms": _percentile(self.pieces["playout"], 50),
            "stated_playout_p50_ms": _percentile(self.stated_ms, 50),
            "correlation_p1": _percentile(self.score, 1),
            "correlation_p50": _percentile(self.score, 50),
            "first_hop_s": self.facts["first_hop_s"],
            "resident_mb": self.facts["resident_mb"],
            "device": playout["device"],
        }


class MarkedService(Service):
    """The service, with the marker on what its vocoder makes."""

    seed = 0

    def _open_all(
        self,
        bundle: Bundle,
        calibration: Calibration | None,
        pipeline: Pipeline,
        granted: Granted,
    ) -> dict[str, Any]:
        # Only now: the golden vectors know nothing of a marker.
        pipeline.vocoder = cast(FramewiseVocoder, Marked(pipeline.vocoder, self.seed))
        return super()._open_all(bundle, calibration, pipeline, granted)


def live_run(bundle: Bundle, recording: Path, plan: LivePlan) -> LiveRun:
    """Run the service on a recording, played round and round.

    Parameters
    ----------
    recording : `.npy` of `tools.amplifier.save_array`, in the bundle's montage.

    Raises
    ------
    SeegvoxError
        As the service does, or if sound server or outlet are not to be had.
    """
    with tempfile.TemporaryDirectory(prefix="seegvox-bench-") as name, _lsl_apart(Path(name)):
        folder = Path(name)
        facts = _run(bundle, recording, plan, folder)
        return _measured(plan, facts, folder)


def _run(bundle: Bundle, recording: Path, plan: LivePlan, folder: Path) -> dict[str, Any]:
    source_id = uuid4().hex
    room_s = plan.seconds + AROUND_S
    with ExitStack() as stack:
        server = stack.enter_context(sound_server(plan.server, folder, plan.period))
        capture = [server.kind, room_s, folder / "captured.npz"]
        stack.enter_context(beside("tools.bench.capture", capture))
        pushed = [recording, source_id, plan.burst, folder / "pushed.npy", "--wait"]
        stack.enter_context(beside("tools.bench.outlet", pushed))
        hop_s = float(bundle.spec.hop_s)
        timer = [hop_s, folder / "timer.npy"]
        stack.enter_context(beside("tools.bench.timer", timer, hardware=False))
        settings = _settings(bundle, plan, source_id, server.device, folder)
        kind = MarkedService if plan.marked else Service
        service = kind(settings, say)
        if isinstance(service, MarkedService):
            service.seed = plan.seed
        with stopped_by_signals(service):
            return service.run()


def _settings(
    bundle: Bundle, plan: LivePlan, source_id: str, device: str, folder: Path
) -> LiveSettings:
    wanted: dict[str, Any] = {
        "bundle": bundle.path,
        "out": folder / "run",
        "seconds": plan.seconds,
        "stream": {"source_id": source_id, "timeout_s": 20},
        "vocoder": plan.vocoder,
        "playout": {
            "device": device,
            "target_ms": plan.target_ms,
            "device_latency_ms": plan.device_latency_ms,
        },
    }
    if plan.weights is not None:
        wanted["weights"] = plan.weights
    from models.toml import validated

    return validated(LiveSettings, wanted, "the benchmark")


@contextmanager
def _lsl_apart(folder: Path) -> Iterator[None]:
    """Streams of this machine alone, unless liblsl was told something else."""
    if "LSLAPICFG" in os.environ:
        yield
        return
    path = folder / "lsl_api.cfg"
    path.write_text(
        "[log]\nlevel=-1\n[ports]\nIPv6=disable\nPortRange=128\n[multicast]\nResolveScope=machine\n"
    )
    os.environ["LSLAPICFG"] = str(path)
    try:
        yield
    finally:
        del os.environ["LSLAPICFG"]


# --- what it gave ---------------------------------------------------------------------------------


def _measured(plan: LivePlan, facts: dict[str, Any], folder: Path) -> LiveRun:
    run, sent = read_run(folder / "run"), np.load(folder / "pushed.npy")
    audio = _handed(run)
    captured = read_captured(folder / "captured.npz")
    hops = run.hops
    expected = captured.place_at(hops["handed_over"])
    expected[hops["muted"] | hops["dropped"]] = np.nan
    around = 0 if plan.marked else _AROUND_HOPS
    found = locate(audio, captured.audio, captured.rate, expected, around=around)
    pieces = pieces_ms(stamps_of(hops, sent, captured.time_of(found.place)))
    kept = _settled(hops["handed_over"])
    inside = np.flatnonzero(kept)
    broken = breaks(found, captured.rate)
    return LiveRun(
        plan,
        {name: values[kept] for name, values in pieces.items()},
        1e3 * (run.dac - hops["handed_over"])[kept],
        found.score[kept],
        hops["late"][kept],
        # The first kept hop may follow a step that belongs to what is left out.
        broken[np.isin(broken, inside[1:])],
        np.load(folder / "timer.npy"),
        facts,
        float(run.about["lookahead_ms"]),
        captured.xruns,
        {name: run.about.get(name) for name in ("priority", "cores_awake", "memory", "cores")},
    )


def _handed(run: Run) -> Floats:
    if len(run.audio) != VOCODER_HOP * len(run.hops):
        raise RecordingError(
            f"{len(run.audio)} samples of audio for {len(run.hops)} hops",
            f"{VOCODER_HOP} for each",
            "the record lost something: run it again on a machine with less to do",
        )
    return run.audio


def _settled(handed_over: Times) -> NDArray[np.bool_]:
    if not len(handed_over):
        return np.zeros(0, np.bool_)
    begin, end = handed_over[0] + SETTLE_S, handed_over[-1] - END_S
    kept: NDArray[np.bool_] = (handed_over >= begin) & (handed_over <= end)
    return kept


def _percentile(values: Times, q: float) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(np.percentile(known, q)), 4) if len(known) else None
