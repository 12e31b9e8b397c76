"""A made-up run for tests of the report: random but plausible times, clearly not measured."""

import time
from pathlib import Path

import numpy as np

from models.mel import BANDS, LOG_FLOOR
from realtime.pipeline import Hop
from realtime.record.reading import Run, read_run
from realtime.record.record import Record

ABOUT = {
    "synthetic": "made up by tests/synthetic_run.py; nothing here was measured",
    "bundle_sha256": "0123456789abcdef" * 4,
    "lookahead_ms": 26.25,
    "versions": {"python": "3.11", "numpy": "2"},
    "playout": {"fill_ms": 44.5, "underruns": 0, "device": "null", "message": ""},
}


def synthetic_mel(hops: int, seed: int = 0) -> np.ndarray:
    """Something like words: harmonic-looking bands that come and go, `(hops, 80)`."""
    rng = np.random.default_rng(seed)
    time = np.arange(hops)[:, None] * 0.015
    band = np.arange(BANDS)[None, :]
    words = np.clip(np.sin(2 * np.pi * time / 2.1) * 1.8, 0, 1) * (0.7 + 0.3 * np.sin(9 * time))
    formants = sum(
        np.exp(-0.5 * ((band - centre - 5 * np.sin(3.1 * time + centre)) / 4) ** 2)
        for centre in (12, 30, 52)
    )
    ripple = 0.7 + 0.3 * np.sin(band * 1.4)
    mel = LOG_FLOOR + 1 + 9 * words * formants * ripple + rng.normal(0, 0.35, (hops, BANDS))
    return np.maximum(mel, LOG_FLOOR).astype(np.float32)


def write_synthetic_run(folder: Path, hops: int = 4000, seed: int = 0) -> Run:
    rng = np.random.default_rng(seed)
    mel = synthetic_mel(hops, seed)
    stage_s = 1e-3 * np.array([0.16, 1.1, 1.9, 0.5, 0.05]) * rng.lognormal(0, 0.2, (hops, 5))
    stage_s[rng.integers(0, hops, max(1, hops // 400)), 2] += 0.016
    with Record(folder, ABOUT, markers=False) as log:
        log.event("warming", 1000.0, why="1 s, muted")
        free = 0.0
        for k in range(hops):
            while log.room < 1 << 20:
                # No hop may be left out, however fast they are made.
                time.sleep(0.01)
            lsl_time = 1000.0 + (k + 1) * 0.015
            # Packets of 31.25 ms, as an amplifier with 32 samples at 1024 Hz sends them.
            packet = np.ceil((k + 1) * 0.015 / 0.03125) * 0.03125
            available = 1000.0 + packet + 0.002 + rng.exponential(0.0006)
            started = max(free, available) + 4e-5
            done = started + np.cumsum(stage_s[k])
            free = handed_over = float(done[-1]) + 5e-5
            hop = Hop(k, k * 15, k * 15 + 14, lsl_time, available, started, *map(float, done))
            hop.mel = mel[k]
            hop.audio = rng.normal(0, 0.05, 240).astype(np.float32) * float(mel[k].max() > -4)
            log.hop(hop, handed_over, 0.0, handed_over - available > 0.015)
            if k > 10:
                dac = max(handed_over, lsl_time + 0.031) + 0.055 + rng.normal(0, 0.002)
                log.dac_times(np.array([[k, dac]]))
        log.event("decoding", 1001.0, why="<null> & nowhere")
        log.event("stopped", 1000.0 + hops * 0.015, why=f"after {hops} hops")
    return read_run(folder)


def line(name: str, r: float, speech: float, note: str = "") -> dict[str, object]:
    return {
        "name": name,
        "mel_r": r,
        "chance_95": 0.12,
        "p": 0.004,
        "mel_r_speech": speech,
        "chance_95_speech": 0.06,
        "p_speech": 0.02,
        "components_r": speech / 3,
        "note": note,
    }


def synthetic_scores() -> dict[str, object]:
    return {
        "lines": (
            line("causal network, streamed", 0.61, 0.22),
            line("linear baseline", 0.5, 0.15, "sees 200 ms of future"),
            line("speech/silence oracle", 0.7, 0.0, "true voice activity, no neural data"),
            line("mean spectrum", 0.0, 0.0, "constant, r undefined: counted as 0"),
        ),
        "frames": 5000,
        "speech_frames": 1800,
        "training_frames": 20000,
        "speech_threshold": -9.0,
        "note": "synthetic",
    }
