"""Cached features: what the front end gives, whole or not there, and named by what made them."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from models.errors import SettingsError
from models.frontend import FrontEnd, Statistics, fit_statistics
from models.spec import BundleSpec, FrontEndSpec
from tests.bundles import noise_uv, tiny_spec
from training import features
from training.features import FeatureStore

STATISTICS = Statistics(np.full(8, 2.0), np.full(8, 3.0))


def direct(seeg: np.ndarray, spec: BundleSpec) -> np.ndarray:
    return FrontEnd(spec.front_end, spec.contacts, spec.fs_hz, STATISTICS).step(seeg)


@pytest.mark.parametrize("reference", ["none", "average", "laplacian"])
def test_cached_and_not_they_are_the_front_ends(reference: str, tmp_path: Path) -> None:
    spec = tiny_spec().model_copy(update={"front_end": FrontEndSpec(reference=reference)})
    seeg = noise_uv(20)
    seeg[5000:5100, 2] = np.nan
    expected = direct(seeg, spec)
    np.testing.assert_array_equal(FeatureStore(spec).features(seeg, STATISTICS), expected)
    for _ in range(2):
        found = FeatureStore(spec, tmp_path).features(seeg, STATISTICS)
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, expected)
    assert len(list(tmp_path.iterdir())) == 1


def test_statistics_are_those_of_the_front_end(tmp_path: Path) -> None:
    spec, parts = tiny_spec(), [noise_uv(5), noise_uv(3, seed=1)]
    expected = fit_statistics(FrontEnd(spec.front_end, spec.contacts, spec.fs_hz), parts)
    for folder in (None, tmp_path, tmp_path):
        found = FeatureStore(spec, folder).statistics(parts)
        np.testing.assert_array_equal(found.mean, expected.mean)
        np.testing.assert_array_equal(found.std, expected.std)


def test_a_kept_file_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, seeg = tiny_spec(), noise_uv(2)
    store = FeatureStore(spec, tmp_path)
    kept = store.features(seeg, STATISTICS)
    statistics = store.statistics([seeg])

    def fails(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(features, "FrontEnd", lambda *_: type("E", (), {"channels": 8}))
    monkeypatch.setattr(features, "fit_statistics", fails)
    np.testing.assert_array_equal(store.features(seeg, STATISTICS), kept)
    np.testing.assert_array_equal(store.statistics([seeg]).mean, statistics.mean)


def test_everything_that_changes_features_changes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, seeg = tiny_spec(), noise_uv(1)

    def files(spec: BundleSpec, seeg: np.ndarray, statistics: Statistics) -> set[str]:
        FeatureStore(spec, tmp_path).features(seeg, statistics)
        return {path.name for path in tmp_path.iterdir()}

    count = len(files(spec, seeg, STATISTICS))
    other = seeg.copy()
    other[-1, -1] = np.nextafter(other[-1, -1], np.float32(1e9))
    renamed = tuple(reversed(spec.contacts))
    for changed in (
        (spec, other, STATISTICS),
        (spec, seeg[:-1], STATISTICS),
        (spec, seeg, Statistics(STATISTICS.mean, STATISTICS.std * 2)),
        (spec.model_copy(update={"front_end": FrontEndSpec(line_hz=60)}), seeg, STATISTICS),
        (
            spec.model_copy(update={"front_end": FrontEndSpec(normalise="rolling")}),
            seeg,
            STATISTICS,
        ),
        (spec.model_copy(update={"contacts": renamed}), seeg, STATISTICS),
        (tiny_spec(1000), seeg, STATISTICS),
    ):
        assert len(files(*changed)) == count + 1
        count += 1
    monkeypatch.setattr(features, "_source_hash", lambda: "another program")
    assert len(files(spec, seeg, STATISTICS)) == count + 1


def _write(folder: Path) -> None:
    FeatureStore(tiny_spec(), folder).features(noise_uv(20), STATISTICS)


def test_several_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 4
    (file,) = tmp_path.iterdir()
    np.testing.assert_array_equal(np.load(file), direct(noise_uv(20), tiny_spec()))


def test_a_writer_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeg = noise_uv(20)
    step = FrontEnd.step

    def fails_later(self: FrontEnd, block: np.ndarray) -> np.ndarray:
        if len(block) < 8192:
            raise KeyboardInterrupt
        return step(self, block)

    monkeypatch.setattr(FrontEnd, "step", fails_later)
    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tiny_spec(), tmp_path).features(seeg, STATISTICS)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="set feature_cache to another folder"):
        FeatureStore(tiny_spec(), tmp_path / "file" / "x").features(noise_uv(1), STATISTICS)
