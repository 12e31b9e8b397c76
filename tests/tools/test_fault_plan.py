"""The injector without LSL: a clean source and a plan, to scheduled pushes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SettingsError
from tools.faults.inject import Push, inject
from tools.faults.outage import Close, Open
from tools.faults.packets import Injected
from tools.faults.plan import KINDS, FaultPlan, read_plan
from tools.faults.source import Block, Description, array_blocks

FS = Fraction(1024)
LABELS = tuple(f"A{n}" for n in range(1, 21))
ABOUT = Description(LABELS, FS, "amp", "amp-1")
# Sample index in every contact, plus the contact's own number: what came, and from where.
RAMP = (np.arange(8192)[:, None] + np.arange(20)[None] * 1e-2).astype(np.float32)


def plan(*faults: dict, packet: int | None = 16, seed: int = 3) -> FaultPlan:
    return FaultPlan.model_validate({"seed": seed, "packet": packet, "faults": list(faults)})


def blocks(sizes: list[int] | None = None):
    """The ramp, cut as `sizes` say (the rest in one block)."""
    times, start = np.arange(len(RAMP)) / 1024.0, 0
    for size in [*(sizes or []), len(RAMP)]:
        if start < len(RAMP) and size:
            part = times[start : start + size]
            yield Block(RAMP[start : start + size], part, part)
            start += size


def commands(*faults: dict, **options: int | None) -> list:
    return list(inject(blocks(), ABOUT, plan(*faults, **options)))


def pushes(*faults: dict, **options: int | None) -> list[Push]:
    return [c for c in commands(*faults, **options) if isinstance(c, Push)]


def told(*faults: dict) -> list[Injected]:
    return [c for c in commands(*faults) if isinstance(c, Injected)]


def index_of(pushed: list[Push]) -> np.ndarray:
    return np.concatenate([p.samples[:, 0] for p in pushed]).astype(int)


def stamps_of(pushed: list[Push]) -> np.ndarray:
    return np.concatenate([p.stamps for p in pushed])


def test_without_faults_everything_comes_when_it_was_taken() -> None:
    clean = pushes()
    np.testing.assert_array_equal(index_of(clean), np.arange(8192))
    np.testing.assert_array_equal(stamps_of(clean), np.arange(8192) / 1024)
    assert {len(p.samples) for p in clean} == {16}
    assert all(p.due == p.stamps[-1] for p in clean)


def test_times_never_drift_and_are_rounded_once() -> None:
    rate = Fraction(390625, 384)
    *_, (_, times, _) = array_blocks(np.zeros((10, 1), np.float32), rate, 3_000_000)
    assert times[-1] == float(Fraction(2_999_999) / rate)


def test_a_source_keeps_its_own_packets_unless_told() -> None:
    own = [p for p in inject(blocks([5, 40, 7]), ABOUT, plan(packet=None)) if isinstance(p, Push)]
    assert [len(p.samples) for p in own][:3] == [5, 40, 7]


@pytest.mark.parametrize(("ms", "lost"), [(1, 1), (10, 10), (49, 50), (51, 52), (500, 512)])
def test_a_gap_takes_whole_samples_and_leaves_the_truth(ms: float, lost: int) -> None:
    got = pushes({"kind": "gap", "at_s": 2.0, "ms": ms})
    index = index_of(got)
    np.testing.assert_array_equal(np.setdiff1d(np.arange(8192), index), 2048 + np.arange(lost))
    np.testing.assert_array_equal(stamps_of(got), index / 1024)


def test_a_burst_changes_packets_from_its_first_sample_on() -> None:
    got = pushes({"kind": "burst", "at_s": 1.0, "seconds": 2.0, "samples": 512})
    sizes = [len(p.samples) for p in got]
    assert sizes == [16] * 64 + [512] * 4 + [16] * 320
    assert all(p.due == p.stamps[-1] for p in got)


def test_jitter_delays_and_keeps_order_and_truth() -> None:
    got = pushes({"kind": "jitter", "at_s": 1.0, "seconds": 4.0, "sd_ms": 10.0})
    late = np.array([p.due - p.stamps[-1] for p in got])
    np.testing.assert_array_equal(index_of(got), np.arange(8192))
    assert (late >= 0).all()
    assert late[:60].max() == 0
    # Half-normal: mean 8 ms; packets that are held back by the one before come later still.
    assert 0.006 < late[70:300].mean() < 0.02
    assert (np.diff([p.due for p in got]) >= 0).all()


def test_jitter_of_stamps_leaves_deliveries() -> None:
    got = pushes({"kind": "jitter", "at_s": 0, "sd_ms": 5.0, "of": "stamps"})
    assert [p.due for p in got] == [p.due for p in pushes()]
    excess = stamps_of(got) - np.arange(8192) / 1024
    assert (excess >= 0).all()
    assert excess.std() > 0.002


def test_a_duplicate_is_sent_again_with_its_stamps() -> None:
    got = pushes({"kind": "duplicate", "at_s": 1.0, "samples": 40})
    index = index_of(got)
    assert len(index) == 8192 + 40
    again = np.flatnonzero(np.diff(index) < 0)
    assert len(again) == 1
    np.testing.assert_array_equal(index[again[0] + 1 : again[0] + 41], 1040 - 40 + np.arange(40))
    np.testing.assert_array_equal(stamps_of(got), index / 1024)


def test_backward_stamps_one_packet_early_and_no_sample_is_lost() -> None:
    got = pushes({"kind": "backward", "at_s": 1.0, "ms": 25})
    off = stamps_of(got) - np.arange(8192) / 1024
    assert sorted(set(np.round(off, 9))) == [-0.025, 0.0]
    assert np.count_nonzero(off) == 16
    np.testing.assert_array_equal(index_of(got), np.arange(8192))


@pytest.mark.parametrize("jump", [10.0, -10.0])
def test_a_clock_jump_shifts_stamps_for_good(jump: float) -> None:
    got = pushes({"kind": "clock_jump", "at_s": 3.0, "seconds": jump})
    off = stamps_of(got) - np.arange(8192) / 1024
    np.testing.assert_allclose(off[:3072], 0)
    np.testing.assert_allclose(off[3072:], jump)
    assert [p.due for p in got] == [p.due for p in pushes()]


def test_a_stall_holds_everything_back_and_loses_nothing() -> None:
    got = pushes({"kind": "stall", "at_s": 2.0, "seconds": 3.0})
    np.testing.assert_array_equal(stamps_of(got), np.arange(8192) / 1024)
    held = [p for p in got if 2.001 < p.stamps[-1] < 4.99]
    assert len(held) > 180
    assert all(p.due == pytest.approx(5.0, abs=1e-3) for p in held)


def test_a_fast_amplifier_delivers_sooner_and_stamps_the_truth() -> None:
    got = pushes({"kind": "drift", "at_s": 2.0, "seconds": 4.0, "ppm": 200.0})
    stamps = stamps_of(got)
    # It begins a quarter of a sample before its sample: 0.05 us.
    assert stamps[2048] == pytest.approx(2.0, abs=1e-7)
    assert (stamps[6143] - stamps[2048]) * (1 + 200e-6) == pytest.approx(4095 / 1024, rel=1e-9)
    # Afterwards at the nominal rate again.
    assert stamps[8191] - stamps[7168] == pytest.approx(1023 / 1024, rel=1e-9)
    assert all(p.due == p.stamps[-1] for p in got)


@pytest.mark.parametrize(("share", "contacts"), [(0.01, 1), (0.05, 1), (0.3, 6), (1.0, 20)])
@pytest.mark.parametrize("kind", ["nan", "infinity", "flat", "saturation", "line_noise"])
def test_content_faults_touch_their_contacts_and_nothing_else(
    kind: str, share: float, contacts: int
) -> None:
    fault = {"kind": kind, "at_s": 2.0, "seconds": 1.0, "share": share}
    got = np.concatenate([p.samples for p in pushes(fault)])
    (note,) = told(fault)
    columns = [LABELS.index(name) for name in note.detail["contacts"]]
    assert len(columns) == contacts
    touched = np.flatnonzero((got != RAMP).any(axis=0))
    np.testing.assert_array_equal(touched, sorted(columns))
    rows = np.flatnonzero((got != RAMP).any(axis=1))
    # A flat line keeps its first value; a sine is 0 there.
    np.testing.assert_allclose([rows[0], rows[-1]], [2048, 3071], atol=1)
    bad = got[2048:3072, columns]
    check = {
        "nan": np.isnan(bad).all(),
        "infinity": np.isinf(bad).all(),
        "flat": (bad == RAMP[2048, columns]).all(),
        "saturation": (np.abs(bad) == 10_000).all(),
        "line_noise": np.abs(bad - RAMP[2048:3072, columns]).max() == pytest.approx(100, abs=1),
    }
    assert check[kind]


def test_contacts_can_be_named_and_must_exist() -> None:
    (note,) = told({"kind": "nan", "at_s": 1, "seconds": 1, "contacts": ["A7", "A2"]})
    assert note.detail["contacts"] == ["A7", "A2"]
    with pytest.raises(SettingsError, match="no contact B9"):
        commands({"kind": "flat", "at_s": 1, "contacts": ["B9"]})
    with pytest.raises(SettingsError, match="no contact Z"):
        commands({"kind": "loss", "at_s": 1, "seconds": 1, "drop": ["Z"]})


def test_a_loss_closes_and_opens_as_another() -> None:
    fault = {"kind": "loss", "at_s": 2.0, "seconds": 3.0, "source_id": "amp-2", "reverse": True}
    fault |= {"drop": ["A1"], "rename": {"A20": "X"}, "fs_hz": 2048}
    got = commands(fault)
    close, opened = (c for c in got if isinstance(c, Close | Open))
    assert (close.due, opened.due) == (pytest.approx(2.0, abs=1e-3), pytest.approx(5.0, abs=1e-3))
    assert opened.description.labels == ("X", *LABELS[-2:0:-1])
    assert (opened.description.source_id, opened.description.fs) == ("amp-2", 2048)
    after = got[got.index(opened) + 1]
    np.testing.assert_array_equal(after.samples, RAMP[5120:5136, :0:-1])
    stamps = stamps_of([c for c in got if isinstance(c, Push)])
    assert not ((stamps > 2.01) & (stamps < 4.98)).any()


def test_a_plain_loss_returns_as_it_was() -> None:
    got = commands({"kind": "loss", "at_s": 2.0, "seconds": 1.0})
    assert [c.description for c in got if isinstance(c, Open)] == [ABOUT]


def test_random_times_have_their_rate_and_depend_on_the_seed() -> None:
    def times(seed: int) -> list[float]:
        long = array_blocks(np.zeros((16, 20), np.float32), FS, 1024 * 600)
        fault = {"kind": "gap", "per_minute": 30.0, "ms": 5, "from_s": 60.0}
        done = inject(long, ABOUT, plan(fault, seed=seed, packet=512))
        return [c.time for c in done if isinstance(c, Injected)]

    some = times(1)
    # Poisson with mean 270: 4 standard deviations are 66.
    assert abs(len(some) - 270) < 66
    assert some[0] > 60.0
    assert some == times(1) != times(2)


def test_faults_are_told_in_order_and_before_what_is_due_later() -> None:
    faults = [
        {"kind": "gap", "at_s": [1.0, 5.0], "ms": 10},
        {"kind": "nan", "at_s": [1.5, 4.0], "seconds": 0.5, "share": 0.1},
        {"kind": "clock_jump", "at_s": 3.0, "seconds": 10},
        {"kind": "loss", "at_s": 6.0, "seconds": 1.0},
    ]
    got = commands(*faults)
    dues = [c.time if isinstance(c, Injected) else c.due for c in got]
    assert dues == sorted(dues)
    assert [c.kind for c in got if isinstance(c, Injected)] == [
        *("gap", "nan", "clock_jump", "nan", "gap", "loss")
    ]


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(st.lists(st.integers(0, 3000), max_size=12))
def test_the_cutting_of_the_source_changes_nothing(sizes: list[int]) -> None:
    faults = [
        {"kind": "gap", "per_minute": 60, "ms": 30},
        {"kind": "nan", "per_minute": 60, "seconds": 0.2, "share": 0.1},
        {"kind": "flat", "per_minute": 30, "seconds": 0.3, "share": 0.3},
        {"kind": "line_noise", "at_s": 0.5, "share": 0.5},
        {"kind": "burst", "at_s": [2, 5], "seconds": 1, "samples": 37},
        {"kind": "jitter", "at_s": 0, "sd_ms": 5},
        {"kind": "duplicate", "per_minute": 60, "samples": 50},
        {"kind": "backward", "per_minute": 60, "ms": 8},
        {"kind": "clock_jump", "per_minute": 30, "seconds": -2},
        {"kind": "drift", "at_s": 3, "ppm": -50},
        {"kind": "stall", "per_minute": 20, "seconds": 0.4},
        {"kind": "loss", "per_minute": 15, "seconds": 0.5, "reverse": True},
    ]
    chosen = plan(*faults)
    whole = list(inject(blocks(), ABOUT, chosen))
    cut = list(inject(blocks(sizes), ABOUT, chosen))
    assert [type(c) for c in cut] == [type(c) for c in whole]
    for a, b in zip(cut, whole, strict=True):
        if isinstance(a, Push):
            assert a.due == b.due
            np.testing.assert_array_equal(a.samples, b.samples)
            np.testing.assert_array_equal(a.stamps, b.stamps)
        else:
            assert a == b


def test_integers_cannot_be_nan() -> None:
    about = Description(LABELS, FS, "amp", "amp-1", dtype="int16")
    with pytest.raises(SettingsError, match="int16 cannot hold NaN"):
        inject(blocks(), about, plan({"kind": "nan", "at_s": 1, "share": 0.1}))


def test_a_plan_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        'seed = 7\npacket = 32\n[[faults]]\nkind = "gap"\nat_s = [5.0, 12]\nms = 49\n'
        '[[faults]]\nkind = "nan"\nper_minute = 2\nseconds = 1.0\nshare = 0.05\n'
    )
    read = read_plan(path)
    assert (read.seed, read.packet) == (7, 32)
    assert [fault.kind for fault in read.faults] == ["gap", "nan"]
    assert read.faults[0].at_s == (5.0, 12.0)
    path.write_text("")
    assert read_plan(path) == FaultPlan()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sead = 1", "unknown key 'sead'"),
        ('[[faults]]\nkind = "gap"\nat_s = 1\nms = 5\nlength = 2', "fault 1 .gap.: unknown key"),
        ('[[faults]]\nkind = "gap"\nat_s = 1', "'ms' is missing"),
        ('[[faults]]\nkind = "gap"\nms = 1', "at_s or per_minute"),
        ('[[faults]]\nkind = "gap"\nat_s = 1\nper_minute = 1\nms = 1', "at_s or per_minute"),
        ('[[faults]]\nkind = "nan"\nat_s = 1', "contacts or a share"),
        ('[[faults]]\nkind = "gapp"\nat_s = 1', "kind is 'gapp'"),
        ("[[faults]]\nat_s = 1", "kind is None"),
        ('[faults]\nkind = "gap"', "double the brackets"),
        ('[[faults]]\nkind = "gap"\nat_s = -1\nms = 1', "at_s"),
        ('[[faults]]\nkind = "gap"\nat_s = 1\nms = 0', "greater than 0"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=says):
        read_plan(path)


def test_every_kind_is_listed_once() -> None:
    assert len(KINDS) == 14
    assert all(kind.model_fields["kind"].default == name for name, kind in KINDS.items())
