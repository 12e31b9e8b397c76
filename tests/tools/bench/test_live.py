"""The true end to end: an outlet elsewhere, the real service, a real sound server, captured."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from models.bundle import load_bundle
from tools.bench.live_run import END_S, SETTLE_S, LivePlan, live_run
from tools.bench.transport import noise

SECONDS = SETTLE_S + END_S + 6.0


@pytest.mark.lsl
@pytest.mark.audio
@pytest.mark.parametrize("server", ["jack", "pulse"])
def test_every_hop_is_found_in_what_was_captured(
    server: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    program = {"jack": "jackd", "pulse": "pulseaudio"}[server]
    if shutil.which(program) is None:
        pytest.skip(f"not installed: {program}")
    bundle = load_bundle(tiny_bundle)
    # Far from what could run dry on a busy machine: here it is the measuring that is tested.
    plan = LivePlan(server, 16, SECONDS, target_ms=90, device_latency_ms=30)
    run = live_run(bundle, noise(tmp_path, bundle, 0), plan)
    told = run.told()
    assert told["hops"] > 300
    assert told["found"] > 0.9 * told["hops"]
    assert told["correlation_p50"] > 0.9
    whole = run.end_to_end_ms[np.isfinite(run.end_to_end_ms)]
    # Not before the playout's own delay, and not a second later.
    assert 80 < np.median(whole) < 300
    assert np.median(run.pieces["packet"]) < 1e3 * 16 / 1024 + 5
    assert (run.pieces["decoder"] > 0).all()
    assert len(run.machine_ms) > 300
