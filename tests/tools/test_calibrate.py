"""`seegvox calibrate` end to end: a real stream, real recordings, bad input."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from models.bundle import Bundle, load_bundle, write_bundle
from models.errors import (
    BusyOutputError,
    CalibrationError,
    MontageError,
    RecordingError,
    SettingsError,
    StreamError,
)
from models.frontend import FrontEnd, fit_statistics
from models.hops import encoder_stride
from models.spec import FrontEndSpec
from realtime.calibration import Tally, folder_of, load_calibration, newest
from realtime.pipeline import Pipeline
from realtime.record.reading import read_run
from realtime.recordings import read_recording
from realtime.service import Service
from realtime.settings import LiveSettings
from tests.bundles import TINY_CONTACTS, noise_uv
from tests.lsl_outlets import Outlet
from tools import calibrate
from tools.amplifier import save_array, spawn_amplifier

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
FS = Fraction(1024)


def call(*words: object) -> int:
    parser = argparse.ArgumentParser()
    calibrate.add_parser(parser.add_subparsers())
    args = parser.parse_args(["calibrate", *map(str, words)])
    return args.run(args)


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    return load_bundle(Path(shutil.copytree(tiny_bundle, tmp_path / "b")))


def left(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.iterdir()} - {"b", "amp.npy", "amp.json"}


@pytest.mark.lsl
def test_a_stream_is_calibrated_and_live_uses_it(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source_id = uuid4().hex
    today = np.float32(1.6) * noise_uv(20, seed=8)
    spoiled = today.copy()
    spoiled[:, 5] = np.nan
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    save_array(tmp_path / "amp.npy", spoiled[:, order], FS, [TINY_CONTACTS[i] for i in order])
    options = ("--source-id", source_id, "--burst", "32", "--wait")
    with spawn_amplifier(tmp_path / "amp.npy", *options):
        assert call(bundle.path, "--source-id", source_id, "--seconds", 10, "--json") == 0
        said = capsys.readouterr()
    told = json.loads(said.out)
    assert f"10 of 10 s; masked now: {TINY_CONTACTS[5]}" in said.err
    assert told["mostly_masked"] == [TINY_CONTACTS[5]]
    assert told["source"]["stream"]["source_id"] == source_id
    # The bundle's statistics are of the same noise, 1.6 times smaller.
    assert told["comparison"]["log_ratio"] == pytest.approx(np.log(1.6), abs=0.05)
    found = load_calibration(newest(bundle.path), bundle)
    assert told["path"] == str(found.path)
    # What was sent is known: the second to the eleventh second, but for the end of a pull.
    tally = Tally(bundle)
    tally.feed(spoiled[: 11 * 1024])
    wanted = tally.measured().statistics
    np.testing.assert_allclose(found.statistics.std, wanted.std, rtol=0.02)
    assert found.statistics.std[5] == bundle.statistics.std[5]
    with spawn_amplifier(tmp_path / "amp.npy", *options):
        _live(bundle, tmp_path, source_id)
    _check_run(bundle, tmp_path / "run", spoiled)


def _check_run(bundle: Bundle, folder: Path, sent: np.ndarray) -> None:
    run, used = read_run(folder), load_calibration(newest(bundle.path), bundle)
    assert run.about["calibration"]["calibration_sha256"] == used.hash
    (event,) = [event for event in run.events if event["event"] == "calibration"]
    assert event["sha256"] == used.hash and used.path.name in event["why"]
    offline = Pipeline.from_bundle(bundle, statistics=used.statistics)
    mel = np.array([hop.mel for hop in offline.hops(sent)])[: len(run.mel)]
    np.testing.assert_array_equal(run.mel, mel)
    own = np.array([hop.mel for hop in Pipeline.from_bundle(bundle).hops(sent)])
    assert not np.array_equal(run.mel, own[: len(run.mel)])


def _live(bundle: Bundle, tmp_path: Path, source_id: str) -> None:
    settings = LiveSettings.model_validate(
        {
            "bundle": bundle.path,
            "out": tmp_path / "run",
            "seconds": 2.5,
            "calibration": "newest",
            "stream": {"source_id": source_id, "timeout_s": 10},
            "playout": {"sink": "null", "target_ms": 80},
        }
    )
    said: list[str] = []
    Service(settings, said.append).run()
    assert any("calibration 2" in line and "1 channels keep" in line for line in said)


@pytest.mark.lsl
def test_a_stream_that_ends_too_soon_leaves_nothing(bundle: Bundle, tmp_path: Path) -> None:
    source_id = uuid4().hex
    save_array(tmp_path / "amp.npy", noise_uv(5), FS, TINY_CONTACTS)
    with (
        spawn_amplifier(tmp_path / "amp.npy", "--source-id", source_id, "--wait"),
        pytest.raises(StreamError, match=r"went away|nothing for the last"),
    ):
        call(bundle.path, "--source-id", source_id, "--seconds", 10)
    assert left(tmp_path) == set()


@pytest.mark.lsl
def test_streams_that_do_not_fit(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(StreamError, match="no LSL stream"):
        call(bundle.path, "--source-id", uuid4().hex, "--timeout", 0.5)
    other = Outlet(TINY_CONTACTS[:6])
    with pytest.raises(MontageError, match="2 of 8 contacts are missing: RB3, RB4"):
        call(bundle.path, "--source-id", other.source_id)
    faster = Outlet(TINY_CONTACTS, rate=2048)
    with pytest.raises(MontageError, match="runs at 2048 Hz"):
        call(bundle.path, "--source-id", faster.source_id)
    silent = Outlet(TINY_CONTACTS)
    with pytest.raises(StreamError, match="sent nothing"):
        call(bundle.path, "--source-id", silent.source_id, "--timeout", 0.5)
    assert left(tmp_path) == set()


def test_wrong_options(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="at least 10"):
        call(bundle.path, "--seconds", 3)
    with pytest.raises(SettingsError, match="a recording or a stream"):
        call(bundle.path, "--recording", "x.nwb", "--source-id", "amp")
    with pytest.raises(SettingsError, match="--start without"):
        call(bundle.path, "--start", 3)
    with pytest.raises(SettingsError, match="--start -1"):
        call(bundle.path, "--recording", "x.nwb", "--start", -1)
    with pytest.raises(RecordingError, match="does not exist"):
        call(bundle.path, "--recording", tmp_path / "none.nwb")
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "kept").touch()
    with pytest.raises(BusyOutputError):
        call(bundle.path, "--out", tmp_path / "busy")
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be written"):
        call(bundle.path, "--out", tmp_path / "file" / "below")
    assert left(tmp_path) == {"busy", "file"}


# --- real recordings ------------------------------------------------------------------------


def shared(pattern: str) -> Path:
    found = sorted(SHARED.glob(pattern))
    if not found:
        pytest.skip(f"no {SHARED / pattern}")
    return found[0]


def bundle_for(bundle: Bundle, path: Path, recording: Path, unit: float | str) -> Bundle:
    """A bundle for a recording's contacts and rate; its graphs are another's, not stepped here."""
    read = read_recording(recording, unit=unit)
    front_end = FrontEnd(FrontEndSpec(), read.labels, read.fs)
    first = read.seeg[: len(read.seeg) // 2]
    fitted = fit_statistics(front_end, [first])
    spec = bundle.spec.model_copy(
        update={"contacts": read.labels, "fs_hz": read.fs, "stride": encoder_stride(read.fs)}
    )
    sections = {f"sections.{i}": s for i, s in enumerate(front_end.sections)}
    arrays = {**bundle.arrays, **sections, "mean": fitted.mean, "std": fitted.std}
    graphs = {"float32": bundle.graphs()}
    return write_bundle(path, spec, graphs, arrays, bundle.golden())


@pytest.mark.shared_data
def test_a_real_recording(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """19 s of human LFP and ECoG at 1000 Hz; statistics of its first half, calibration from it."""
    path = shared("pyneuromod_ecog_lfp_19s/*.vhdr")
    made = bundle_for(bundle, tmp_path / "real", path, 1e-6)
    assert call(made.path, "--recording", path, "--unit", "1e-6", "--seconds", 15) == 0
    said = capsys.readouterr().out
    assert "15.0 s of signal" in said and "masked: none" in said
    found = load_calibration(newest(made.path), made)
    assert found.about.contacts[0] == "LFP_RIGHT_0" and not found.about.kept_channels
    ratio = found.statistics.std / made.statistics.std
    # The same patient some seconds later: nearer than a factor of two.
    assert (np.abs(np.log(ratio)) < np.log(2)).all()
    # The header's unit makes it implausible; that is noticed, not calibrated away.
    with pytest.raises(RecordingError, match="unit"):
        call(made.path, "--recording", path)
    with pytest.raises(CalibrationError, match=r"of 9 channels|times as much"):
        call(made.path, "--recording", path, "--unit", "1e-4")
    assert len(list(folder_of(made.path).iterdir())) == 1


@pytest.mark.shared_data
def test_a_recording_too_short(bundle: Bundle, tmp_path: Path) -> None:
    """5 s of human sEEG."""
    path = shared("zurich_seeg_hfo_5s/*.vhdr")
    made = bundle_for(bundle, tmp_path / "real", path, "uV")
    with pytest.raises(CalibrationError, match=r"4\.0 s of signal"):
        call(made.path, "--recording", path)
    assert not folder_of(made.path).exists()


def test_a_folder_that_may_not_be_written(bundle: Bundle, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(SettingsError, match="cannot be written"):
            call(bundle.path)
    finally:
        tmp_path.chmod(0o755)
