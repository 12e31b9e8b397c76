"""Rolling normalisation: what it computes, that it is causal, what it does with bad data."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from models.frontend import FrontEnd, fit_statistics
from models.normalise import LEAST_STD, Rolling, Statistics
from models.spec import BundleSpec, FrontEndSpec
from models.streaming import Floats
from tests.bundles import noise_uv, tiny_spec
from tests.contract import verify_contract
from training.features import FeatureStore

FS = Fraction(1024)
NAMES = [f"{shaft}{n}" for shaft in "AB" for n in range(1, 5)]
NONE = np.zeros(len(NAMES), np.bool_)
ROLLING = FrontEndSpec(normalise="rolling", rolling_s=1)


def statistics(spec: FrontEndSpec = ROLLING) -> Statistics:
    return fit_statistics(FrontEnd(spec, NAMES, FS), [noise_uv(8)])


def faulty(seconds: float) -> Floats:
    x = noise_uv(seconds)
    x[700, 1] = np.nan
    x[900:1200, 2] = 5.0
    x[1300:1302, 3] = 9e3
    return x


@pytest.mark.parametrize("reference", ["none", "average", "bipolar", "laplacian"])
def test_contract_with_faults(reference: str) -> None:
    spec = ROLLING.model_copy(update={"reference": reference})
    fitted = statistics(spec)
    out = verify_contract(lambda: FrontEnd(spec, NAMES, FS, fitted), faulty(3), examples=8)
    fixed = spec.model_copy(update={"normalise": "training"})
    plain = FrontEnd(fixed, NAMES, FS, fitted).step(faulty(3))
    # Until the first update it is training's; then it is not.
    np.testing.assert_allclose(out[:103], plain[:103], rtol=1e-6, atol=1e-6)
    assert not np.allclose(out[-100:], plain[-100:], atol=1e-3)


def test_it_is_the_weighted_mean_and_variance_of_all_so_far() -> None:
    """Against the definition, over all samples at once; the start is one more, weighted, sample."""
    rng = np.random.default_rng(3)
    x = rng.gamma(2.0, 3.0, (103 * 7, 8))
    start = Statistics(np.full(8, 4.0), np.full(8, 5.0))
    rolling = Rolling(start, np.inf, FS, Fraction(1, 2))
    rolling.step(x, NONE)
    w = 1 - np.exp(-103 / 512)
    weights = np.repeat([w * (1 - w) ** (6 - k) / 103 for k in range(7)], 103)
    rest = (1 - w) ** 7
    assert weights.sum() + rest == pytest.approx(1)
    mean = rest * 4.0 + weights @ x
    second = rest * (4.0**2 + 5.0**2) + weights @ x**2
    np.testing.assert_allclose(rolling.statistics.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(rolling.statistics.std, np.sqrt(second - mean**2), rtol=1e-12)


def test_it_follows_a_change_of_gain() -> None:
    fitted = statistics()
    out = FrontEnd(ROLLING, NAMES, FS, fitted).step(2 * noise_uv(30, seed=5))[15 * 1024 :]
    # About a second of amplitude, 100 Hz wide, decides: 5 % is four standard errors of it.
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(out.std(axis=0), 1, atol=0.05)
    fixed = FrontEnd(FrontEndSpec(), NAMES, FS, fitted).step(2 * noise_uv(30, seed=5))
    assert (fixed[15 * 1024 :].std(axis=0) > 1.8).all()


def test_a_masked_contact_keeps_its_statistics() -> None:
    rolling = Rolling(Statistics(np.zeros(8), np.ones(8)), 6.0, FS, Fraction(1))
    x = np.random.default_rng(0).standard_normal((4096, 8))
    rolling.step(x[:1030], NONE)
    before, idle = rolling.statistics, NONE.copy()
    idle[3] = True
    rolling.step(3 * x[1030:3090], idle)
    after = rolling.statistics
    assert after.mean[3] == before.mean[3] and after.std[3] == before.std[3]
    assert (np.delete(after.std, 3) > 1.2 * np.delete(before.std, 3)).all()


def test_part_of_a_block_masked_counts_by_what_is_left() -> None:
    start = Statistics(np.zeros(1), np.ones(1))
    part, idle = Rolling(start, 6.0, FS, Fraction(1)), np.ones(1, np.bool_)
    part.step(np.full((40, 1), 2.0), ~idle)
    part.step(np.full((63, 1), 99.0), idle)
    w = 1 - np.exp(-40 / 1024)
    assert part.statistics.mean[0] == pytest.approx(2 * w, rel=1e-12)


def test_an_artefact_moves_it_by_a_bounded_step() -> None:
    spec = FrontEndSpec(normalise="rolling", rolling_s=60)
    x = noise_uv(4)
    x[2000:2050, 2] += np.float32(5000) * np.random.default_rng(1).uniform(-1, 1, 50)
    runs = []
    for part in (noise_uv(4), x):
        front_end = FrontEnd(spec, NAMES, FS, statistics(spec))
        front_end.step(part)
        runs.append(front_end._normaliser.statistics.std)
    # At most 36 (the clip, squared) for as long as it lasts and rings, here 0.3 s of 60.
    most = np.sqrt(1 + 0.3 / 60 * 36)
    ratio = runs[1] / runs[0]
    assert 1.001 < ratio[2] < most
    assert (np.delete(ratio, 2) == 1).all()


def test_a_contact_gone_quiet_is_not_amplified_without_bound() -> None:
    front_end = FrontEnd(ROLLING, NAMES, FS, statistics())
    front_end.step(noise_uv(20) * np.float32(1e-3))
    np.testing.assert_allclose(
        front_end._normaliser.statistics.std, LEAST_STD * statistics().std, rtol=1e-12
    )


def test_training_s_features_are_those_of_the_hops(tmp_path) -> None:
    spec: BundleSpec = tiny_spec().model_copy(update={"front_end": ROLLING})
    x = faulty(5)
    store = FeatureStore(spec, tmp_path)
    fitted = store.statistics([noise_uv(8)])
    # What is fitted is the unscaled front end's: the same with either normalisation.
    assert (fitted.std == statistics(FrontEndSpec()).std).all()
    live = FrontEnd(spec.front_end, spec.contacts, spec.fs_hz, fitted)
    clock = spec.clock
    hops = [live.step(x[clock.end(k - 1) : clock.end(k)]) for k in range(clock.hops_in(len(x)))]
    stepped = np.concatenate(hops)
    np.testing.assert_array_equal(store.features(x, fitted)[: len(stepped)], stepped)


def test_specs_from_before_it_load_as_they_were() -> None:
    raw = tiny_spec().model_dump(mode="json")
    del raw["front_end"]["normalise"], raw["front_end"]["rolling_s"]
    assert BundleSpec.model_validate(raw).front_end.normalise == "training"
