"""Real files over real LSL: a short stretch of each, against what other readers find in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime.streams import describe
from tests.tools.replaying import SHARED, Received, heard
from tools.cli import main

pytestmark = [pytest.mark.lsl, pytest.mark.shared_data]


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def by_pyxdf(path: Path) -> dict[str, Any]:
    import pyxdf

    streams, _ = pyxdf.load_xdf(path, dejitter_timestamps=False)
    return {stream["info"]["name"][0]: stream for stream in streams}


def check_steps(got: Received, times: np.ndarray, within_s: float) -> None:
    """Relative timing as recorded, and nothing before its own timestamp."""
    np.testing.assert_allclose(got.times - got.times[0], times - times[0], atol=within_s)
    assert (np.array(got.came) >= got.times).all()


def test_labrecorder_with_clock_resets() -> None:
    """From before the reset to behind it: the seconds between are there, and no sample is lost."""
    path = shared("xdf_example_files/clock_resets.xdf")
    theirs = by_pyxdf(path)
    # The reset lies where pyxdf's raw stamps step back.
    times = theirs["BioSemi"]["time_stamps"]
    options = ("--unit", "recorded", "--stop", "570", "--speed", "200")
    got = heard(path, ["myuid34234", "myuidw43536"], *options).received
    eeg, marks = got["BioSemi"], got["MyMarkerStream"]
    count = len(eeg.rows)
    np.testing.assert_array_equal(eeg.values, theirs["BioSemi"]["time_series"][:count])
    assert count > 0.98 * len(times)
    words = [row[0] for row in theirs["MyMarkerStream"]["time_series"]]
    assert [row[0] for row in marks.rows] == words[: len(marks.rows)]
    assert len(marks.rows) > 165
    # pyxdf fits the offsets of each stretch as we do; stamps are 200 times closer together.
    check_steps(eeg, times[:count] / 200, 1e-4)
    check_steps(marks, theirs["MyMarkerStream"]["time_stamps"][: len(marks.rows)] / 200, 1e-4)


def test_the_smallest_xdf() -> None:
    path = shared("xdf_example_files/minimal.xdf")
    theirs = by_pyxdf(path)
    got = heard(path, ["SendDataC", "SendDataString"], "--unit", "recorded", by="name").received
    for name, stream in theirs.items():
        assert [list(row) for row in got[name].rows] == [list(r) for r in stream["time_series"]]
        check_steps(got[name], np.array(stream["time_stamps"]), 1e-9)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("chunk_length_lie.xdf", "holds no stream"),
        ("out_of_order_clock_offsets.xdf", "holds no samples"),
    ],
)
def test_malformed_xdf_is_refused(name: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(shared(f"xdf_malformed_rs/{name}"))]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert "ready" not in said.out


MNE = [
    ("zurich_seeg_hfo_5s", "sub-01_task-interictalsleep_run-01_ieeg", 2000),
    ("naplib_ecog_depth_2s/tiny_test.edf", "tiny_test", 2048),
]


def by_mne(path: Path) -> Any:
    import mne

    file = path if path.is_file() else next(path.glob("*_ieeg.vhdr"))
    return mne.io.read_raw(file, verbose="ERROR", preload=True)


@pytest.mark.parametrize(("place", "name", "rate"), MNE)
def test_what_mne_reads(place: str, name: str, rate: int) -> None:
    path = shared(place)
    raw = by_mne(path)
    source = f"seegvox-{name}"
    played = heard(path, [source], "--streams", source, "--stop", "1")
    got = played.received[name]
    said = describe(got.info)
    assert (said.labels, float(said.rate), said.dtype) == (tuple(raw.ch_names), rate, "float32")
    count = min(rate, raw.n_times)
    volts = raw.get_data(stop=count).T
    factor = np.array([1e6 if text == "microvolts" else 1.0 for text in said.units])
    # Sent as float32.
    np.testing.assert_allclose(got.values, volts * factor, rtol=1e-6, atol=1e-9)
    check_steps(got, np.arange(count) / rate, 1e-9)


def test_micromed() -> None:
    import neo.rawio

    path = shared("micromed_trc_trex/EEG_496790.TRC")
    trc = neo.rawio.MicromedRawIO(str(path))
    trc.parse_header()
    played = heard(path, ["seegvox-EEG_496790"], "--start", "10", "--stop", "11")
    got = played.received["EEG_496790"]
    raw = trc.get_analogsignal_chunk(0, 0, 2560, 2816, 0)
    truth = trc.rescale_signal_raw_to_float(raw, "float64", 0)
    np.testing.assert_allclose(got.values, truth, rtol=1e-6, atol=1e-9)
    check_steps(got, np.arange(256) / 256, 1e-9)
