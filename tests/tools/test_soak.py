"""The soak's figures are what happened: on made-up readings, and on a short virtual run."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from models.bundle import load_bundle
from models.errors import MontageError
from realtime.record.layout import HOP
from tests.bundles import TINY_CONTACTS, noise_uv
from tools import cli, soak_virtual, vitals
from tools.amplifier import save_array
from tools.hogs import hogs
from tools.soak_real import HogTimes, under_hogs
from tools.soak_virtual import VirtualSoak, blocks, drift
from tools.vitals import Vital, Vitals


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults and readings every few seconds."""
    every = {"SHORT_GAP_S": 7, "NAN_S": 11, "DUPLICATE_S": 13, "LONG_GAP_S": 307, "READ_S": 1.0}
    for name, seconds in every.items():
        monkeypatch.setattr(soak_virtual, name, seconds)


def test_growth_is_told_per_hour_and_after_the_warm_up() -> None:
    """20 MB in the first fifth are warm-up; 2 MB an hour after it are growth."""
    told = Vitals(
        [Vital(t, 100 + 20 * min(1, t / 1440) + 2 * t / 3600, 9, 3) for t in range(0, 7201, 60)]
    )
    summary = told.summary()
    assert summary["warm_up_s"] == 1440
    assert summary["resident_growth_mb_per_h"] == pytest.approx(2.0, abs=1e-3)
    assert summary["handles"] == {"first": 9, "last": 9, "min": 9, "max": 9}


def test_a_leaked_handle_and_a_thread_are_seen(tmp_path: Path) -> None:
    handles, threads = vitals.handles(), vitals.threads()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with (tmp_path / "leak").open("w"):
        assert vitals.handles() == handles + 1
        assert vitals.threads() == threads + 1
    stop.set()
    thread.join()


def test_drift_compares_the_ends() -> None:
    rows = [{"hop_p50_ms": value} for value in (1.0, 1.0, 9.0, 1.5, 1.5, 1.5)]
    assert drift(rows, "hop_p50_ms") == 1.5
    assert drift(rows[:2], "hop_p50_ms") is None


@pytest.mark.usefixtures("often")
def test_a_virtual_soak_counts_what_was_done_to_the_stream(tiny_bundle: Path) -> None:
    """A gap of two bursts at 7 s, NaN at 11, a burst twice at 13; playout never runs dry."""
    seen: list[dict[str, float]] = []
    soak = VirtualSoak(load_bundle(tiny_bundle), noise_uv(10), 3.5, seen.append)
    figures = soak.run(13.9)
    assert figures["hops"]["all"] == pytest.approx(13.9 / 0.015, abs=3)
    assert figures["samples"]["bridged_samples"] == figures["samples"]["lost_samples"] == 32
    assert figures["samples"]["cold_starts"] == 0
    assert figures["hops"]["not_finite"] == 0
    assert 40 < figures["hops"]["masked"] < 140
    assert figures["samples"]["duplicate_samples"] == 16
    assert figures["playout"]["underruns"] == 0
    assert len(seen) == len(figures["stretches"]) == 4
    assert sum(row["hops"] for row in seen) == figures["hops"]["all"]
    assert figures["vitals"]["handles"]["max"] > 0
    assert figures["hop_p50_drift"] is not None


@pytest.mark.usefixtures("often")
def test_the_simulated_stream_has_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_virtual, "LONG_GAP_S", 23)
    found = list(blocks(noise_uv(5), 1024.0, 29))
    samples = sum(len(block.timestamps) for block in found)
    rate = 1024 * (1 + 100e-6)
    lost, twice = 4 * 32 + 16 * int(rate / 16), 2 * 16
    assert samples == int(29 * rate) // 16 * 16 - lost + twice
    assert sum(bool(np.isnan(block.samples).any()) for block in found) == 2
    assert all(block.available > block.timestamps[-1] for block in found)


def made_up_hops(late: slice) -> np.ndarray:
    """Hops every 15 ms from 1000 s on, handed over 4 ms after their last sample, some 60 ms."""
    hops = np.zeros(4000, HOP)
    hops["lsl_time"] = 1000 + 0.015 * np.arange(4000)
    lag = np.full(4000, 0.004)
    lag[late] = 0.06
    hops["handed_over"] = hops["lsl_time"] + lag
    hops["late"] = lag > 0.015
    return hops


def test_what_hogs_did_is_read_from_the_hops() -> None:
    """Hogs from 1020 to 1040 s; hops are late from 1030 s until 150 ms after their end."""
    end = round(40.15 / 0.015)
    figures = under_hogs(made_up_hops(slice(2000, end)), HogTimes(1020.0, 1040.0))
    assert figures["seconds"] == 20
    assert figures["late_percent"] == pytest.approx(50, abs=0.5)
    assert figures["lag_before_ms"][99] == pytest.approx(4)
    assert figures["caught_up_after_ms"] == pytest.approx(150, abs=16)
    never = under_hogs(made_up_hops(slice(2000, 4000)), HogTimes(1020.0, 1040.0))
    assert never["caught_up_after_ms"] is None


def test_hogs_are_one_for_each_core_and_end() -> None:
    me = psutil.Process()
    before = set(me.children())
    with hogs(1) as count:
        running = set(me.children()) - before
        assert count == len(running) == (os.cpu_count() or 1)
        assert {child.nice() for child in running} == {me.nice()}
    assert set(me.children()) <= before


def test_the_verb_writes_its_figures(tiny_bundle: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source.npy", tmp_path / "soak.json"
    save_array(source, noise_uv(5), load_bundle(tiny_bundle).spec.fs_hz, TINY_CONTACTS[::-1])
    command = ["soak", str(tiny_bundle), "--hours", "0.001", "--recording", str(source)]
    assert cli.main([*command, "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert figures["streamed_hours"] == pytest.approx(0.001, abs=1e-4)
    assert figures["bundle"]["sha256"] == load_bundle(tiny_bundle).hash
    assert cli.main([*command, "--json", str(out)]) == 2
    assert cli.main(["soak", str(tiny_bundle), "--hours", "0"]) == 2


def test_a_recording_of_another_rate_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    from fractions import Fraction

    from tools.soak import _seeg

    save_array(tmp_path / "a.npy", noise_uv(1), Fraction(512), TINY_CONTACTS)
    with pytest.raises(MontageError, match="512 Hz"):
        _seeg(tmp_path / "a.npy", load_bundle(tiny_bundle))
