import signal
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import numpy as np
import pylsl
import pytest

from models.errors import MontageError, StreamError
from realtime.clock_correction import ClockCorrection
from realtime.inlet import Inlet
from realtime.streams import StreamQuery
from tests.lsl_outlets import LABELS, Outlet
from tools.amplifier import save_array, spawn_amplifier

FS = Fraction(1024)
ROWS = np.arange(20.0).reshape(5, 4) - 7
pytestmark = pytest.mark.lsl


def _collect(inlet: Inlet, samples: int, timeout_s: float = 5.0) -> np.ndarray:
    """Pull until so many samples came; a copy."""
    parts: list[np.ndarray] = []
    deadline = time.monotonic() + timeout_s
    while sum(map(len, parts)) < samples and time.monotonic() < deadline:
        if (block := inlet.pull(0.1)) is not None:
            parts.append(block.samples.copy())
    return np.concatenate(parts)


def _received(outlet: Outlet, rows: np.ndarray, **options: object) -> np.ndarray:
    contacts: Sequence[str] = options.pop("contacts", LABELS)  # type: ignore[assignment]
    with Inlet(outlet.query, contacts, FS, **options) as inlet:  # type: ignore[arg-type]
        outlet.push(rows)
        return _collect(inlet, len(rows))


@pytest.fixture
def numbered(tmp_path: Path) -> Callable[[float], Path]:
    """A recording of 112 contacts whose first carries the sample's index."""

    def write(seconds: float) -> Path:
        rng = np.random.default_rng(1)
        seeg = rng.normal(0, 50, (int(seconds * FS), 112)).astype(np.float32)
        seeg[:, 0] = np.arange(len(seeg))
        save_array(tmp_path / "numbered.npy", seeg, FS, _names(112))
        return tmp_path / "numbered.npy"

    return write


def _names(count: int) -> list[str]:
    return [f"L{'ABCDEFGH'[i // 14]}{i % 14 + 1}" for i in range(count)]


@pytest.mark.parametrize("burst", [1, 16, 32, 100])
def test_nothing_lost_reordered_or_early(numbered: Callable[[float], Path], burst: int) -> None:
    source, sid = numbered(3.0), uuid4().hex
    options = ["--wait", "--burst", str(burst), "--source-id", sid]
    blocks, ages = [], []
    with (
        spawn_amplifier(source, *options),
        Inlet(StreamQuery(source_id=sid), _names(112), FS) as inlet,
    ):
        block = inlet.wait_first(5)
        while True:
            blocks.append((block.samples.copy(), block.timestamps))
            ages.append(block.available - block.timestamps[-1])
            if sum(len(x) for x, _ in blocks) == 3072:
                break
            following = inlet.pull(1.0)
            assert following is not None, f"{sum(len(x) for x, _ in blocks)} samples came"
            block = following
    samples = np.concatenate([x for x, _ in blocks])
    np.testing.assert_array_equal(samples, np.load(source))
    # No sample is there before it is due.
    assert min(ages) >= 0
    stamps = np.concatenate([t for _, t in blocks])
    # Seconds since boot, up to 1e7: float64 resolves 2 ns there.
    np.testing.assert_allclose(stamps - stamps[0], np.arange(3072) / 1024, rtol=0, atol=1e-8)


def test_contacts_are_matched_by_label() -> None:
    outlet = Outlet(("LB1", "EKG", "LA3", "LA2", "LA1"))
    rows = np.arange(15.0).reshape(3, 5)
    with Inlet(outlet.query, LABELS, FS) as inlet:
        assert inlet.match.extra == ("EKG",)
        assert inlet.match.reordered
        outlet.push(rows)
        np.testing.assert_array_equal(_collect(inlet, 3), rows[:, [4, 3, 2, 0]])


def test_missing_contact_is_listed() -> None:
    outlet = Outlet(LABELS[:3])
    with pytest.raises(MontageError, match=r"1 of 4 contacts are missing: LB1"):
        Inlet(outlet.query, LABELS, FS)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_contact_given_up_is_nan(dtype: str) -> None:
    rows = np.array([[1, 2, 3], [4, 5, 6]])
    got = _received(Outlet(LABELS[1:], dtype=dtype), rows, allow_missing=["LA1"])
    np.testing.assert_array_equal(got, [[np.nan, 1, 2, 3], [np.nan, 4, 5, 6]])


@pytest.mark.parametrize("rate", [512.0, 1024.5, 0.0])
def test_other_rate_is_refused_naming_both(rate: float) -> None:
    outlet = Outlet(rate=rate)
    found = "no regular rate" if rate == 0 else f"{rate:g} Hz"
    with pytest.raises(MontageError, match=rf"{found}.*expected 1024 Hz"):
        Inlet(outlet.query, LABELS, FS)


@pytest.mark.parametrize("unit", ["furlongs", ""])
def test_unknown_unit_is_refused_unless_stated(unit: str) -> None:
    outlet = Outlet(unit=unit)
    with pytest.raises(MontageError, match=r"unit = "):
        Inlet(outlet.query, LABELS, FS)
    np.testing.assert_array_equal(_received(outlet, ROWS, unit="mV"), ROWS * 1e3)


@pytest.mark.parametrize(("unit", "factor"), [("volts", 1e6), ("0", 1e6), ("nV", 1e-3)])
def test_units_become_microvolts(unit: str, factor: float) -> None:
    got = _received(Outlet(unit=unit), ROWS)
    # The product is rounded once to float32.
    np.testing.assert_array_equal(got, (ROWS * factor).astype(np.float32))


@pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
def test_every_sample_format(dtype: str) -> None:
    got = _received(Outlet(dtype=dtype), ROWS)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, ROWS)


def test_volts_in_double_precision_from_another_process(
    numbered: Callable[[float], Path],
) -> None:
    source, sid = numbered(0.2), uuid4().hex
    options = ["--wait", "--source-id", sid, "--unit", "volts", "--dtype", "float64"]
    with (
        spawn_amplifier(source, *options),
        Inlet(StreamQuery(source_id=sid), _names(112), FS) as inlet,
    ):
        got = _collect(inlet, 204)
    # Two roundings in float64, one in float32: half a unit in the last place and a little.
    np.testing.assert_allclose(got, np.load(source), rtol=1.2e-7)


def test_string_and_unlabelled_streams_are_refused() -> None:
    words, bare = Outlet(dtype="string"), Outlet(describe=False)
    with pytest.raises(MontageError, match="carries string samples"):
        Inlet(words.query, LABELS, FS)
    with pytest.raises(MontageError, match="names none of its 4 channels"):
        Inlet(bare.query, LABELS, FS)


def test_silent_stream() -> None:
    outlet = Outlet()
    with Inlet(outlet.query, LABELS, FS) as inlet:
        assert inlet.pull(0.05) is None
        with pytest.raises(StreamError, match=r"sent nothing for 0\.3 s"):
            inlet.wait_first(0.3)
        silent_s = inlet.idle_s(pylsl.local_clock())
        assert silent_s >= 0.35
        stamp = outlet.push(ROWS)
        block = inlet.wait_first(5)
        assert block.timestamps[-1] <= stamp <= block.available
        assert inlet.idle_s(block.available) == 0.0


def test_killed_outlet_is_noticed(numbered: Callable[[float], Path]) -> None:
    sid = uuid4().hex
    with (
        spawn_amplifier(numbered(1.0), "--wait", "--loop", "--source-id", sid) as process,
        Inlet(StreamQuery(source_id=sid), _names(112), FS) as inlet,
    ):
        inlet.wait_first(5)
        process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        with pytest.raises(StreamError, match="went away"):
            while time.monotonic() - killed < 2:
                inlet.pull(0.1)


def test_closed_inlet_says_so() -> None:
    outlet = Outlet()
    inlet = Inlet(outlet.query, LABELS, FS)
    inlet.close()
    with pytest.raises(StreamError, match="closed"):
        inlet.pull()


def test_clock_correction_on_one_machine(numbered: Callable[[float], Path]) -> None:
    sid = uuid4().hex
    with (
        spawn_amplifier(numbered(0.5), "--loop", "--source-id", sid),
        Inlet(StreamQuery(source_id=sid), _names(112), FS) as inlet,
        ClockCorrection(inlet, timeout_s=2) as clock,
    ):
        deadline = time.monotonic() + 8
        while clock.value is None and time.monotonic() < deadline:
            inlet.pull(0.1)
        assert clock.value is not None
        # One clock, read twice: half a round trip on a loaded machine.
        assert abs(clock.value) < 0.02


def test_clock_correction_tolerates_failure() -> None:
    class Deaf:
        def time_correction(self, timeout_s: float) -> float:
            raise StreamError("no answer")

    with ClockCorrection(Deaf(), period_s=0.01) as clock:
        deadline = time.monotonic() + 5
        while clock.failures < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert clock.failures >= 3
    assert clock.value is None
