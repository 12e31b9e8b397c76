"""Streams to commands, without LSL and without a clock."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import MontageError, RecordingError, SettingsError
from tests.tools.replaying import FS, ORIGIN, write_lab
from tools.faults.inject import Push
from tools.faults.plan import FaultPlan
from tools.faults.source import Block
from tools.replay.ahead import Ahead
from tools.replay.choice import Window, chosen, faulty
from tools.replay.control import Control, PauseKeys
from tools.replay.describe import description
from tools.replay.lateness import Lateness
from tools.replay.opened import open_streams
from tools.replay.packets import packets, sizes
from tools.replay.player import Played
from tools.replay.progress import Progress
from tools.replay.schedule import Playing, schedule
from tools.replay.streams import About, RecordedStream, of_events, rising


def stream(stamps: np.ndarray, name: str = "s", kind: str = "EEG", unit: str = "uV", **options):
    """Its sample index in every channel, in blocks of 100."""
    options = {"format": "float32", "rate_hz": 100.0, **options}
    about = About(
        name,
        kind,
        name,
        channels=2,
        desc=description(["A1", "A2"], [unit] * 2, ["SEEG"] * 2),
        **options,
    )
    rows = np.repeat(np.arange(len(stamps))[:, None], 2, 1).astype(
        about.format.replace("double64", "float64")
    )

    def blocks(since_s: float):
        cuts = range(0, len(stamps), 100)
        return rising((rows[c : c + 100], stamps[c : c + 100]) for c in cuts)

    return RecordedStream(about, len(stamps), stamps.min(), stamps.max(), blocks)


def pushes(*streams: RecordedStream, window: Window | None = None, **options) -> list:
    window = window or Window(0.0, 1e9)
    sized = options.pop("sizes", sizes(streams, 10))
    return list(schedule(Playing(streams, window, sized, **options)))


def joined(items: list, place: int = 0) -> tuple[np.ndarray, np.ndarray]:
    mine = [c for _, p, c in items if p == place and isinstance(c, Push)]
    return np.concatenate([c.samples[:, 0] for c in mine]), np.concatenate([c.stamps for c in mine])


STEADY = np.arange(1000) / 100


def test_packets_are_due_with_their_last_sample() -> None:
    items = pushes(stream(STEADY))
    index, stamps = joined(items)
    np.testing.assert_array_equal(index, np.arange(1000))
    np.testing.assert_array_equal(stamps, STEADY)
    assert {len(c.stamps) for _, _, c in items} == {10}
    assert all(due == c.due == c.stamps[-1] for due, _, c in items)


def test_a_packet_ends_before_a_gap() -> None:
    stamps = STEADY + np.where(np.arange(1000) >= 555, 3.0, 0.0)
    items = pushes(stream(stamps))
    lengths = [len(c.stamps) for _, _, c in items]
    assert lengths[55] == 5
    assert lengths.count(10) == 99
    assert items[55][0] == stamps[554]
    assert all(due == c.stamps[-1] for due, _, c in items)


@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(st.lists(st.integers(1, 250), min_size=1, max_size=30), st.integers(1, 64))
def test_the_cutting_of_the_file_changes_no_packet(cuts: list[int], size: int) -> None:
    stamps = STEADY + np.where(np.arange(1000) >= 333, 1.0, 0.0)
    whole = list(packets(rising([(STEADY[:, None], stamps)]), size, 100.0))
    edges = np.unique([0, *np.minimum(np.cumsum(cuts), 1000), 1000])
    parts = [(STEADY[a:b, None], stamps[a:b]) for a, b in pairwise(edges)]
    for a, b in zip(whole, packets(rising(parts), size, 100.0), strict=True):
        np.testing.assert_array_equal(a.samples, b.samples)
        np.testing.assert_array_equal(a.times, b.times)


def test_stamps_that_overlap_are_kept_and_nothing_is_due_before_them() -> None:
    stamps = STEADY.copy()
    stamps[200:210] -= 0.03
    items = pushes(stream(stamps))
    np.testing.assert_array_equal(joined(items)[1], stamps)
    dues = [due for due, _, _ in items]
    assert dues == sorted(dues)
    assert all(due >= c.stamps.max() for due, _, c in items)


def test_streams_are_merged_in_time_and_packets_last_alike() -> None:
    fast = stream(np.arange(8000) / 800, "fast", "Audio", rate_hz=800.0)
    seeg = stream(STEADY, "seeg")
    slow = stream(np.arange(10) + 0.5, "slow", "Misc", rate_hz=1.0)
    events = of_events(
        replace(slow.about, format="string", channels=1, rate_hz=0.0),
        [(2.0, ("b",)), (1.0, ("a",))],
    )
    assert sizes((fast, seeg, slow, events), 10) == [80, 10, 1, 1]
    assert sizes((fast, slow), 10) == [8000, 10]
    assert sizes((fast, seeg, slow, events), None) == [12, 2, 1, 1]
    items = pushes(fast, seeg, slow, events)
    dues = [due for due, _, _ in items]
    assert dues == sorted(dues)
    assert [c.samples for _, p, c in items if p == 3] == [[("a",)], [("b",)]]
    for place, count in ((0, 8000), (1, 1000), (2, 10)):
        np.testing.assert_array_equal(joined(items, place)[0], np.arange(count))


def test_a_window_begins_at_zero_and_leaves_the_rest_out() -> None:
    index, stamps = joined(pushes(stream(STEADY), window=Window(2.0, 5.0)))
    np.testing.assert_array_equal(index, np.arange(200, 500))
    np.testing.assert_allclose(stamps, np.arange(300) / 100, atol=1e-12)


def test_a_loop_shifts_by_the_window() -> None:
    items = schedule(Playing([stream(STEADY)], Window(0.0, 10.0), [10], loop=True))
    some = [next(items) for _ in range(250)]
    index, stamps = joined(some)
    np.testing.assert_array_equal(index, np.arange(2500) % 1000)
    np.testing.assert_allclose(stamps, np.arange(2500) / 100, atol=1e-9)


def test_a_loop_over_a_stream_with_nothing_in_the_window_ends() -> None:
    late = stream(STEADY + 100, "late", "Misc")
    items = schedule(Playing([late], Window(0.0, 5.0), [10], loop=True))
    assert list(items) == []


def test_a_stream_with_packets_of_its_own_keeps_them_unless_told() -> None:
    one = stream(STEADY)
    own = replace(one, paced=True)
    assert {len(c.stamps) for _, _, c in pushes(own)} == {100}
    assert {len(c.stamps) for _, _, c in pushes(own, own_packets=False)} == {10}


def test_faults_are_in_the_units_and_the_type_of_the_stream() -> None:
    fault = {"kind": "saturation", "at_s": 1.0, "seconds": 1.0, "contacts": ["A2"], "uv": 2000.0}
    plan = FaultPlan.model_validate({"faults": [fault]})
    for unit, form, rail in (
        ("mV", "float32", 2.0),
        ("nV", "int32", 2_000_000),
        ("nV", "int16", 32767),
    ):
        one = stream(STEADY, unit=unit, format=form)
        items = pushes(one, plan=plan, faulty=0)
        values = np.concatenate([c.samples for _, _, c in items if isinstance(c, Push)])
        assert values.dtype == one.about.format
        np.testing.assert_array_equal(values[100:200, 1], rail)
        np.testing.assert_array_equal(
            np.delete(values[:, 1], slice(100, 200)),
            np.delete(joined(pushes(one))[0], slice(100, 200)),
        )
    with pytest.raises(MontageError, match="bananas"):
        pushes(stream(STEADY, unit="bananas"), plan=plan, faulty=0)


def test_faults_count_from_the_first_sample_and_leave_wrong_stamps_wrong() -> None:
    stamps = STEADY + 50.0
    stamps[500:505] -= 0.02
    plan = FaultPlan.model_validate({"faults": [{"kind": "gap", "at_s": 1.0, "ms": 500}]})
    items = pushes(stream(stamps), window=Window(47.0, 1e9), plan=plan, faulty=0)
    index, got = joined(items)
    np.testing.assert_array_equal(np.setdiff1d(np.arange(1000), index), np.arange(100, 150))
    np.testing.assert_allclose(got, stamps[index.astype(int)] - 47, atol=1e-9)
    told = [c for _, _, c in items if not isinstance(c, Push)]
    assert [(c.kind, round(c.time, 2)) for c in told] == [("gap", 4.0)]


def test_which_stream_is_faulty() -> None:
    seeg, other = stream(STEADY, "a"), stream(STEADY, "b")
    misc = stream(STEADY, "c", "Misc")
    assert faulty([misc, seeg], None) == 1
    assert faulty([misc, seeg, other], "c") == 0
    with pytest.raises(SettingsError, match="2 are sEEG"):
        faulty([seeg, other], None)
    with pytest.raises(SettingsError, match="0 are sEEG"):
        faulty([misc], None)
    with pytest.raises(SettingsError, match="steady"):
        faulty([replace(misc, about=replace(misc.about, rate_hz=0.0))], "c")


# --- choosing -----------------------------------------------------------------------------------


def test_streams_are_chosen_by_name_source_or_type(tmp_path: Path) -> None:
    with open_streams(write_lab(tmp_path / "lab.xdf", "x")) as opened:
        picked = chosen(opened, ["amp-x", "2-src", "gaze"]).streams
        assert [s.about.name for s in picked] == ["amp-x", "mic-x", "eye-x"]
        with pytest.raises(SettingsError, match=r"called 'nobody'.*amp-x"):
            chosen(opened, ["amp-x", "nobody"])
        with pytest.raises(RecordingError, match="holds no samples"):
            chosen(opened, ["twin-x"])


def test_the_window_counts_from_the_first_seeg(tmp_path: Path) -> None:
    with open_streams(write_lab(tmp_path / "lab.xdf", "x", seconds=4.0)) as opened:
        window = chosen(opened, start_s=1.0, stop_s=2.5).window
        np.testing.assert_allclose((window.start_s, window.stop_s), (ORIGIN + 1, ORIGIN + 2.5))
        whole = chosen(opened).window
        np.testing.assert_allclose(whole.start_s, ORIGIN)
        # The microphone goes on for another 0.1 s.
        np.testing.assert_allclose(whole.stop_s, ORIGIN + 4.1, atol=1e-3)
        with pytest.raises(RecordingError, match="nothing lies between 100 s"):
            chosen(opened, start_s=100.0)
        for start, stop in ((-1.0, None), (2.0, 2.0)):
            with pytest.raises(SettingsError, match="--start"):
                chosen(opened, start_s=start, stop_s=stop)


def test_streams_of_clocks_that_were_never_compared_are_refused(tmp_path: Path) -> None:
    near, far = stream(STEADY, "near"), stream(STEADY + 1e6, "far", "Misc")
    with open_streams(write_lab(tmp_path / "lab.xdf")) as opened:
        opened.streams = [near, far]
        with pytest.raises(RecordingError, match=r"'far'.*begins 999990 s after"):
            chosen(opened)
        assert len(chosen(opened, ["near"]).streams) == 1


def test_only_the_part_from_the_start_on_is_read(tmp_path: Path) -> None:
    with open_streams(write_lab(tmp_path / "lab.xdf", seconds=4.0)) as opened:
        (seeg, *_) = opened.streams
        (block, *_) = seeg.blocks(ORIGIN + 3.0)
        assert block.samples[0, 0] == pytest.approx(3 * FS, abs=1)


# --- the rest -----------------------------------------------------------------------------------


def test_reading_ahead_keeps_the_order_and_raises_what_went_wrong() -> None:
    def items():
        for i in range(1000):
            yield (float(i), 0, Push(float(i), np.zeros((1, 1)), np.zeros(1)))
        raise RecordingError("the disk is gone")

    taken = []
    with Ahead(items()) as ahead, pytest.raises(RecordingError, match="disk"):
        for due, _, _ in ahead:
            taken.append(due)
    assert taken == [float(i) for i in range(1000)]


def test_reading_ahead_is_bounded_and_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.replay.ahead.MOST_BYTES", 100_000)
    read = []

    def items():
        for i in range(10_000):
            read.append(i)
            yield (float(i), 0, Push(float(i), np.zeros((10, 100)), np.zeros(10)))

    with Ahead(items()) as ahead:
        ahead.fill()
        # Long enough to read all of it, were it not bounded.
        time.sleep(0.3)
        assert len(read) < 30
        assert next(ahead)[0] == 0.0


def test_pause_and_stop() -> None:
    control = Control()
    assert list(PauseKeys().feed(" x\x1b[A")) == ["pause"]
    assert list(PauseKeys().feed("\x1b[A")) == []
    control.give("pause")
    assert control.paused and control.wake.is_set()
    control.give("pause")
    assert not control.paused and not control.wake.is_set()
    control.give("pause")
    control.give("stop")
    # A pause that is stopped lets the player go, to end.
    control.wait_resumed()
    control.give("pause")
    assert control.stopped and control.wake.is_set() and not control.paused


def test_lateness_has_its_quantiles() -> None:
    late = Lateness()
    assert late.figures() == {"p50": 0.0, "p99": 0.0, "p99_9": 0.0, "max": 0.0}
    for i in range(1000):
        late.add(i * 1e-5)
    assert late.quantile_ms(0.5) == pytest.approx(5.0, abs=0.011)
    assert late.quantile_ms(0.99) == pytest.approx(9.9, abs=0.011)
    late.add(5.0)
    assert late.figures()["max"] == 5000.0
    assert late.quantile_ms(1.0) == pytest.approx(1000.0, abs=0.011)


def test_the_progress_line() -> None:
    played, control = Played(position_s=75.0, begun=True), Control()
    line = Progress(None, played, control, 60.0, "space: pause")
    assert line.text().startswith(
        "[######------------------] 00:15 / 01:00 | turn 2 | late p99 0.0 ms"
    )
    control.pause()
    assert "PAUSED" in line.text()


def test_blocks_of_nothing_are_left_out() -> None:
    assert list(rising([(np.zeros((0, 1)), np.zeros(0))])) == []
    assert isinstance(next(rising([(np.zeros((1, 1)), np.ones(1))])), Block)
