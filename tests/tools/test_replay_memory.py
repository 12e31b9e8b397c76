"""A file larger than the memory that replaying it may take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tools.replaying import ROOT
from tests.xdf_files import Stream, XdfWriter

MOST_MIB = 300
SECONDS = 390


def write_large(path: Path) -> int:
    """256 contacts at 1024 Hz for 6.5 minutes, and sound at 8 kHz, 0.5 s a chunk; its size."""
    labels = tuple(f"A{i}" for i in range(256))
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((512, 256)).astype(np.float32)
    sound = rng.integers(-1000, 1000, 4000)
    with XdfWriter(path) as out:
        out.header(Stream(1, "amp", "EEG", 256, 1024, "float32", labels, ("uV",) * 256))
        out.header(Stream(2, "mic", "Audio", 1, 8000, "int16"))
        for k in range(2 * SECONDS):
            out.samples(1, rows, 100 + k / 2 + np.arange(512) / 1024)
            out.samples(2, sound, 100 + k / 2 + np.arange(4000) / 8000)
            if k % 20 == 0:
                out.boundary()
                out.offset(1, 100 + k / 2, 0.0)
                out.offset(2, 100 + k / 2, 0.0)
    return path.stat().st_size


@pytest.mark.lsl
def test_a_large_file_is_replayed_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.xdf"
    assert write_large(path) > 1.3 * MOST_MIB * 2**20
    done = subprocess.run(
        [sys.executable, "-m", "tests.tools.replay_memory", str(path)],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=200,
    )
    path.unlink()
    assert done.returncode == 0, done.stderr
    samples, peak_mib = map(float, done.stdout.split())
    assert samples == SECONDS * (1024 + 8000)
    assert peak_mib < MOST_MIB
