"""Kill -9 at random moments: at most a second is lost, and plain h5py always opens what is left."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from realtime.record.reading import read_run
from tests.realtime.record_driver import FS, HOP_S

TRIALS = 50
AT_ONCE = 4
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Trial:
    """What was handed over when the kill came, and what the record holds."""

    whom: str
    samples: int
    hops: int
    recorded_samples: int
    recorded_hops: int

    @property
    def lost_s(self) -> float:
        lost = (self.samples - self.recorded_samples) / FS
        return max(lost, (self.hops - self.recorded_hops) * HOP_S)


def run_trial(folder: Path, whom: str, after_s: float) -> Trial:
    progress = folder.with_suffix(".progress")
    progress.write_bytes(bytes(24))
    command = [sys.executable, "-m", "tests.realtime.record_driver", str(folder), str(progress)]
    child = subprocess.Popen(command, cwd=ROOT)
    recorder = 0
    try:
        end = time.monotonic() + 60
        while not (recorder := read_progress(progress)[0]):
            assert child.poll() is None, "the driver ended before it recorded"
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(after_s)
        watch_plain(folder)
        pids = {"decoder": [child.pid], "recorder": [recorder], "both": [recorder, child.pid]}
        if whom == "recorder":
            _, samples, hops = read_progress(progress)
        for pid in pids[whom]:
            os.kill(pid, signal.SIGKILL)
        if whom != "recorder":
            child.wait(10)
            _, samples, hops = read_progress(progress)
            await_end(recorder)
    finally:
        child.kill()
        child.wait()
        with suppress(ProcessLookupError):
            os.kill(recorder, signal.SIGKILL) if recorder and alive(recorder) else None
    run = check(folder)
    return Trial(whom, samples, hops, len(run.samples), len(run.hops))


def read_progress(path: Path) -> tuple[int, int, int]:
    values = np.frombuffer(path.read_bytes(), np.int64)
    return int(values[0]), int(values[1]), int(values[2])


def alive(pid: int) -> bool:
    """Whether it runs; an orphan that ended may stay as a zombie where nobody reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_end(pid: int) -> None:
    end = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < end, "the recorder outlived its decoder"
        time.sleep(0.01)


def watch_plain(folder: Path) -> None:
    """A third party reads while the session runs."""
    with h5py.File(folder / "session.h5") as file:
        samples = file["seeg/samples"][()]
        assert np.array_equal(samples[:, 0], np.arange(len(samples)))


def check(folder: Path):
    """Plain h5py opens it; everything in it is whole, and all tables agree."""
    with h5py.File(folder / "session.h5", "r") as file:
        samples, hops = file["seeg/samples"][()], file["hops/times"][()]
        stamps, blocks = file["seeg/timestamps"][()], file["seeg/blocks"][()]
    assert np.array_equal(samples, np.repeat(np.arange(len(samples))[:, None], 16, 1))
    assert np.array_equal(stamps, np.arange(len(samples)) / FS)
    assert np.array_equal(blocks["row"], np.arange(len(blocks)) * 32)
    assert blocks["count"].sum() == len(samples)
    run = read_run(folder)
    index = np.arange(len(hops))
    assert np.array_equal(hops["index"], index)
    assert np.array_equal(run.mel, np.repeat(index[:, None], 80, 1))
    assert np.array_equal(run.audio, np.repeat(index, 240))
    assert np.array_equal(run.mask.argmax(axis=1), index % 16)
    assert (run.mask.sum(axis=1) == 1).all()
    told = [event["index"] for event in run.events if event["event"] == "hop"]
    assert told == list(range(len(told)))
    return run


@pytest.mark.paced
def test_kill_9_at_random_moments_costs_at_most_a_second(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    plan = [
        (tmp_path / f"{i:02d}", ("both", "decoder", "recorder")[i % 3], rng.uniform(0.3, 1.2))
        for i in range(TRIALS)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        trials = list(pool.map(lambda args: run_trial(*args), plan))
    for whom in ("both", "decoder", "recorder"):
        lost = [trial.lost_s for trial in trials if trial.whom == whom]
        print(f"{whom}: {len(lost)} kills, lost at most {1e3 * max(lost):.0f} ms")
    # The trials were no trivial ones: most held more than a second could hide.
    assert np.median([trial.recorded_hops for trial in trials]) > 10
    assert max(trial.lost_s for trial in trials) <= 1.0
