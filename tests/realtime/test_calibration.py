"""Today's statistics: what is measured, what is refused, where it is kept, that it is used."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from models.bundle import Arrays, Bundle, load_bundle, write_bundle
from models.errors import BundleError, BusyOutputError, CalibrationError, MontageError
from models.files import sha256
from models.normalise import Statistics
from models.spec import FrontEndSpec
from models.streaming import Floats
from realtime.calibration import (
    Measured,
    Tally,
    chosen,
    compare,
    folder_of,
    load_calibration,
    measure_recording,
    newest,
    write_calibration,
)
from realtime.calibration.sources import _Due
from realtime.golden import check_golden
from realtime.inlet import Block
from realtime.pipeline import Pipeline
from realtime.recordings import Recording
from realtime.settings import LiveSettings
from tests.bundles import TINY_CONTACTS, noise_uv

LONG = 31.0


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    return load_bundle(Path(shutil.copytree(tiny_bundle, tmp_path / "b")))


def rewritten(
    bundle: Bundle, path: Path, arrays: Arrays | None = None, **changes: object
) -> Bundle:
    """Another bundle with the same graphs, which nobody steps here."""
    graphs = {"float32": bundle.graphs()}
    spec = bundle.spec.model_copy(update=changes)
    return write_bundle(path, spec, graphs, bundle.arrays | (arrays or {}), bundle.golden())


def tallied(bundle: Bundle, x: Floats, block: int = 4096) -> Tally:
    tally = Tally(bundle)
    for start in range(0, len(x), block):
        tally.feed(x[start : start + block])
    return tally


def measured(bundle: Bundle, seconds: float = LONG, gain: float = 1.5) -> Measured:
    return tallied(bundle, np.float32(gain) * noise_uv(seconds, seed=7)).measured()


def recording(x: Floats, labels: tuple[str, ...] = TINY_CONTACTS, fs: int = 1024) -> Recording:
    return Recording(
        Path("made.nwb"), x, Fraction(fs), labels, np.zeros(0, np.float32), 16e3, 0.0, ()
    )


# --- what is measured -----------------------------------------------------------------------


def test_it_is_training_s_estimator_of_the_unscaled_features(bundle: Bundle) -> None:
    x = noise_uv(LONG, seed=7)
    found = tallied(bundle, x).measured()
    # The first second, in which filters settle, is left out.
    y = bundle.unscaled_front_end().step(x)[1024:].astype(np.float64)
    np.testing.assert_allclose(found.statistics.mean, y.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.statistics.std, y.std(axis=0), rtol=1e-10)
    assert found.seconds == 30.0
    assert not found.kept.any() and not found.artefact_s.any() and not found.masked_s.any()


@pytest.mark.parametrize("block", [7, 15, 1000])
def test_blocks_do_not_matter(bundle: Bundle, block: int) -> None:
    x = noise_uv(12, seed=7)
    whole, parts = tallied(bundle, x).measured(), tallied(bundle, x, block).measured()
    # Sums are rounded in another order.
    np.testing.assert_allclose(parts.statistics.std, whole.statistics.std, rtol=1e-12)
    np.testing.assert_allclose(parts.statistics.mean, whole.statistics.mean, rtol=1e-12)


def test_artefacts_do_not_spoil_it(bundle: Bundle) -> None:
    x = noise_uv(LONG, seed=7)
    bad = x.copy()
    rng = np.random.default_rng(0)
    for second in (5, 13, 22):
        bad[second * 1024 + 100 :][:80, 2] += rng.uniform(-4000, 4000, 80).astype(np.float32)
    clean, screened = tallied(bundle, x).measured(), tallied(bundle, bad).measured()
    moments = tallied(bundle, bad).measured("moments")
    # A tenth of its seconds is gone: noise within a percent or so.
    np.testing.assert_allclose(screened.statistics.std[2], clean.statistics.std[2], rtol=0.03)
    assert moments.statistics.std[2] > 3 * clean.statistics.std[2]
    assert screened.artefact_s[2] == 3.0
    others = [c for c in range(8) if c != 2]
    np.testing.assert_array_equal(screened.statistics.std[others], clean.statistics.std[others])


def test_contacts_mostly_masked_keep_the_bundle_s(bundle: Bundle) -> None:
    x = noise_uv(LONG, seed=7) * np.float32(1.5)
    x[: 20 * 1024, 1] = np.nan
    x[: 8 * 1024, 4] = 3.0
    found = tallied(bundle, x).measured()
    assert found.kept.tolist() == [c == 1 for c in range(8)]
    assert found.statistics.mean[1] == bundle.statistics.mean[1]
    assert found.statistics.std[1] == bundle.statistics.std[1]
    # Of what counts: a second less at the start; a second of clean time more, and 100 ms until a
    # flat line is known to be one lie within that first second.
    assert found.masked_s[1] == pytest.approx(20.0, abs=0.01)
    assert found.masked_s[4] == pytest.approx(8.0, abs=0.01)
    written = write_calibration(bundle, found, {})
    assert written.about.mostly_masked == (TINY_CONTACTS[1],)
    assert written.about.kept_channels == (f"{TINY_CONTACTS[1]} 70-170 Hz",)
    np.testing.assert_allclose(found.statistics.std[4], 1.5 * bundle.statistics.std[4], rtol=0.05)


def test_contacts_that_were_nearly_nothing_in_training_stay_so(
    bundle: Bundle, tmp_path: Path
) -> None:
    """Artefacts in training blow deviations up; today's would be eight times what was learned."""
    std = bundle.statistics.std.copy()
    std[3] *= 8
    spoiled = rewritten(bundle, tmp_path / "spoiled", {"std": std})
    x = noise_uv(LONG, seed=7)
    x[:, 6] *= 8
    found = tallied(spoiled, x).measured()
    assert found.quiet.tolist() == found.kept.tolist() == [c == 3 for c in range(8)]
    assert found.statistics.std[3] == std[3]
    # One that is louder today would stand at the clip.
    np.testing.assert_allclose(found.statistics.std[6], 8 * bundle.statistics.std[6], rtol=0.05)
    written = write_calibration(spoiled, found, {})
    assert written.about.quiet_channels == (f"{TINY_CONTACTS[3]} 70-170 Hz",)


def test_a_gap_leaves_no_transient(bundle: Bundle) -> None:
    x = noise_uv(24, seed=7)
    x[12 * 1024 :] += np.float32(5000)
    whole = tallied(bundle, x)
    gapped = tallied(bundle, x[: 12 * 1024])
    gapped.interrupt()
    gapped.feed(x[12 * 1024 :])
    wanted = tallied(bundle, noise_uv(24, seed=7)).measured("moments").statistics.std
    got = gapped.measured("moments")
    np.testing.assert_allclose(got.statistics.std, wanted, rtol=0.03)
    assert (whole.measured("moments").statistics.std > 1.3 * wanted).all()
    assert got.seconds == 22.0 and got.interruptions == 1


def test_steps_in_time_are_gaps_and_jitter_is_none() -> None:
    rng = np.random.default_rng(0)
    stamps = 100 + np.arange(4096) / 1024 + 0.02 * rng.uniform(-1, 1, 4096)

    def gaps(stamps: np.ndarray) -> int:
        due = _Due(Fraction(1024))
        blocks = [Block(np.zeros((1, 1), np.float32), s, 0.0) for s in np.split(stamps, 64)]
        return sum(due.interrupted(block) for block in blocks)

    assert gaps(stamps) == 0
    for step in (0.12, -0.12, 10.0, -10.0):
        moved = stamps.copy()
        moved[2000:] += step
        assert gaps(moved) == 1


# --- what is refused ------------------------------------------------------------------------


def test_too_little_is_refused(bundle: Bundle) -> None:
    with pytest.raises(CalibrationError, match=r"9\.9 s of signal.*at least 10 s"):
        measured(bundle, 10.9)
    assert measured(bundle, 11.0).seconds == 10.0


def test_too_few_channels_are_refused(bundle: Bundle) -> None:
    x = noise_uv(12)
    x[:, :5] = np.inf
    with pytest.raises(CalibrationError, match="5 of 8 channels were masked"):
        tallied(bundle, x).measured()


@pytest.mark.parametrize("gain", [50.0, 1e-3])
def test_another_unit_is_no_day_s_change(bundle: Bundle, gain: float) -> None:
    with pytest.raises(CalibrationError, match=r"times as much as in training.*--unit"):
        measured(bundle, 12, gain)


def test_a_recording_must_fit(bundle: Bundle) -> None:
    x = noise_uv(12)
    with pytest.raises(MontageError, match="1000 Hz"):
        measure_recording(bundle, recording(x, fs=1000))
    short = recording(x[:, :7], TINY_CONTACTS[:7])
    with pytest.raises(MontageError, match="1 of 8 contacts are missing: RB4"):
        measure_recording(bundle, short)
    tally, about = measure_recording(bundle, short, allow_missing=["RB4"])
    assert tally.measured().kept.tolist() == [False] * 7 + [True]
    assert about["given_up"] == ["RB4"]
    with pytest.raises(CalibrationError, match="less than 12 s"):
        measure_recording(bundle, recording(x), start_s=12.0)


def test_a_recording_is_matched_by_name_and_cut(bundle: Bundle) -> None:
    x = noise_uv(20, seed=7)
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    shuffled = recording(x[:, order], tuple(TINY_CONTACTS[i] for i in order))
    tally, _ = measure_recording(bundle, shuffled, seconds=12, start_s=2.5)
    wanted = tallied(bundle, x[2560 : 2560 + 13 * 1024]).measured()
    assert tally.seconds == 12.0
    np.testing.assert_array_equal(tally.measured().statistics.std, wanted.statistics.std)


# --- where it is kept -----------------------------------------------------------------------


def test_it_lies_beside_the_bundle_and_comes_back(bundle: Bundle) -> None:
    before = {path.name: sha256(path) for path in bundle.path.iterdir()}
    found = measured(bundle)
    written = write_calibration(bundle, found, {"stream": {"name": "amp"}})
    assert written.path.parent == bundle.path.with_name("b.calibrations") == folder_of(bundle.path)
    assert {path.name: sha256(path) for path in bundle.path.iterdir()} == before
    read = load_calibration(written.path, bundle)
    np.testing.assert_array_equal(read.statistics.mean, found.statistics.mean)
    np.testing.assert_array_equal(read.statistics.std, found.statistics.std)
    assert read.hash == written.hash == sha256(written.path / "SHA256SUMS")
    assert (read.about.bundle_sha256, read.about.seconds) == (bundle.hash, 30.0)
    assert read.about.source == {"stream": {"name": "amp"}}
    assert read.about.versions["numpy"] == np.__version__
    later = read.about.made_utc + timedelta(hours=2)
    assert read.line(later) == f"calibration {written.path.name}, 30 s, 2.0 h old"
    json.dumps(read.facts())


def test_one_flipped_byte_is_noticed(bundle: Bundle) -> None:
    path = write_calibration(bundle, measured(bundle), {}).path
    for name in ("calibration.json", "statistics.npz", "SHA256SUMS"):
        raw = bytearray((path / name).read_bytes())
        raw[len(raw) // 2] ^= 1
        kept = (path / name).read_bytes()
        (path / name).write_bytes(raw)
        with pytest.raises(CalibrationError, match=r"damaged or was edited"):
            load_calibration(path, bundle)
        (path / name).write_bytes(kept)
    (path / "statistics.npz").unlink()
    with pytest.raises(CalibrationError, match="damaged"):
        load_calibration(path, bundle)
    with pytest.raises(CalibrationError, match="holds no SHA256SUMS"):
        load_calibration(path / "none", bundle)


def test_another_bundle_s_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    path = write_calibration(bundle, measured(bundle), {}).path
    renamed = tuple(reversed(bundle.spec.contacts))
    for number, (changes, why) in enumerate(
        (
            ({"name": "second"}, "another bundle"),
            ({"contacts": renamed}, "another montage"),
            ({"front_end": FrontEndSpec(line_hz=60)}, "another front end"),
            ({"front_end": FrontEndSpec(normalise="rolling")}, "another front end"),
        )
    ):
        other = rewritten(bundle, tmp_path / f"other{number}", **changes)
        with pytest.raises(CalibrationError, match=f"is of {why}"):
            load_calibration(path, other)


def test_never_in_the_bundle_nor_over_another(bundle: Bundle, tmp_path: Path) -> None:
    found = measured(bundle)
    for inside in (bundle.path, bundle.path / "today"):
        with pytest.raises(CalibrationError, match="lies in the bundle"):
            write_calibration(bundle, found, {}, inside)
    out = tmp_path / "mine"
    write_calibration(bundle, found, {}, out)
    with pytest.raises(BusyOutputError):
        write_calibration(bundle, found, {}, out)


def test_newest_is_the_last_whole_one(bundle: Bundle) -> None:
    assert chosen(None, bundle) is None
    with pytest.raises(CalibrationError, match="run: seegvox calibrate"):
        newest(bundle.path)
    beside = folder_of(bundle.path)
    for name in ("20260101T090000Z", "20260102T080000Z"):
        write_calibration(bundle, measured(bundle, 12), {}, beside / name)
    (beside / ".20270101T000000Z.partial-1").mkdir()
    (beside / "notes").mkdir()
    assert newest(bundle.path).name == "20260102T080000Z"
    found = chosen("newest", bundle)
    assert found is not None and found.path.name == "20260102T080000Z"
    named = chosen(beside / "20260101T090000Z", bundle)
    assert named is not None and named.path.name == "20260101T090000Z"
    assert abs(found.about.made_utc - datetime.now(UTC)) < timedelta(minutes=5)


# --- that it is used ------------------------------------------------------------------------


def test_the_pipeline_takes_it_and_the_proof_does_not(bundle: Bundle) -> None:
    today = write_calibration(bundle, measured(bundle), {}).statistics
    x = noise_uv(3)
    pipeline = Pipeline.from_bundle(bundle, statistics=today)
    unscaled = bundle.unscaled_front_end().step(x).astype(np.float64)
    wanted = np.clip((unscaled - today.mean) / today.std, -6, 6)
    np.testing.assert_allclose(pipeline.front_end.step(x), wanted, rtol=1e-5, atol=1e-5)
    # With today's statistics the golden vectors cannot agree: they are checked with the bundle's.
    with pytest.raises(BundleError, match="front_end departs"):
        check_golden(pipeline, bundle)
    check_golden(Pipeline.from_bundle(bundle), bundle)


def test_statistics_of_other_channels_are_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="calibration of this bundle"):
        bundle.front_end(Statistics(np.zeros(7), np.ones(7)))


def test_rolling_statistics_begin_with_it(bundle: Bundle, tmp_path: Path) -> None:
    rolling = rewritten(bundle, tmp_path / "rolling", front_end=FrontEndSpec(normalise="rolling"))
    today = write_calibration(rolling, measured(rolling), {}).statistics
    x = noise_uv(0.1)
    got = rolling.front_end(today).step(x)
    np.testing.assert_allclose(got, bundle.front_end(today).step(x), rtol=1e-5, atol=1e-6)


def test_normalisation_cannot_be_overridden_live(tmp_path: Path) -> None:
    """A network trained with fixed statistics was neither trained nor scored with rolling ones."""
    fields = {"bundle": tmp_path, "out": tmp_path}
    assert LiveSettings.model_validate(fields).calibration is None
    assert LiveSettings.model_validate({**fields, "calibration": "newest"}).calibration == "newest"
    folder = LiveSettings.model_validate({**fields, "calibration": "some/folder"}).calibration
    assert folder == Path("some/folder")
    with pytest.raises(ValidationError, match="extra"):
        LiveSettings.model_validate({**fields, "normalise": "rolling"})


def test_the_comparison_says_how_far_today_is() -> None:
    names = [f"A{i}" for i in range(1, 8)]
    own = Statistics(np.zeros(7), np.full(7, 2.0))
    today = Statistics(np.array([1.0, 0, 0, 0, 0, 0, 99]), np.array([2, 4, 2, 2, 2, 2, 99.0]))
    found = compare(own, today, names, np.array([True] * 6 + [False]))
    assert found.log_ratio == 0 and found.shift == 0
    first, second = found.worst[:2]
    assert (first.name, first.ratio, first.shift) == ("A2", 2.0, 0.0)
    assert (second.name, second.ratio, second.shift) == ("A1", 1.0, 0.5)
    assert "A7" not in "\n".join(found.lines())
