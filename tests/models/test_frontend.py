from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy import signal

from models.errors import SettingsError
from models.frontend import FrontEnd, Statistics, fit_statistics
from models.guard import Guard
from models.spec import Band, FrontEndSpec, GuardSpec
from models.streaming import Floats
from tests.contract import verify_contract

FS = Fraction(1024)
NAMES = [f"{shaft}{n}" for shaft in "AB" for n in range(1, 7)]
REFERENCES = ["none", "average", "bipolar", "laplacian"]


def noise(seconds: float, contacts: int = len(NAMES), seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    shape = (int(seconds * FS), contacts)
    return (30 * rng.standard_normal(shape) + 200).astype(np.float32)


def faulty(seconds: float) -> Floats:
    x = noise(seconds)
    x[700, 1] = np.nan
    x[900:1200, 2] = 5.0
    x[1300:1302, 3] = 9e3
    x[1500, 4] = -np.inf
    return x


@pytest.mark.parametrize("reference", REFERENCES)
def test_contract_with_faults(reference: str) -> None:
    spec = FrontEndSpec(reference=reference, bad_contacts=("B6",))

    def make() -> FrontEnd:
        return FrontEnd(spec, NAMES, FS)

    out = verify_contract(make, faulty(3), examples=8)
    assert np.isfinite(out).all()
    assert make().latency == 0


@pytest.mark.parametrize("line", [50, 60])
def test_line_noise_is_really_removed(line: int) -> None:
    spec = FrontEndSpec(line_hz=line, rectify=False)
    t = np.arange(10 * 1024) / 1024
    hum = sum(100 * np.sin(2 * np.pi * f * t) for f in (line, 2 * line, 3 * line))
    out = FrontEnd(spec, ["A1"], FS).step(np.float32(hum)[:, None])[5120:]
    # A notch is exact at its frequency; what is left is float32 rounding of the input.
    assert np.abs(out).max() < 0.05
    without = FrontEnd(FrontEndSpec(line_hz=0, rectify=False), ["A1"], FS)
    assert np.abs(without.step(np.float32(hum)[:, None])[5120:]).max() > 50


@pytest.mark.parametrize(("hz", "gain"), [(20, 0.0), (110, 1.0), (300, 0.0)])
def test_the_band_passes_high_gamma_only(hz: float, gain: float) -> None:
    t = np.arange(8 * 1024) / 1024
    tone = np.float32(10 * np.sin(2 * np.pi * hz * t))[:, None]
    out = FrontEnd(FrontEndSpec(rectify=False, line_hz=0), ["A1"], FS).step(tone)[4096:]
    # Fourth-order slopes: beyond 40 dB an octave and more away from the edges.
    assert np.abs(out).max() / 10 == pytest.approx(gain, abs=0.02)


def test_a_constant_offset_makes_no_start_transient() -> None:
    x = np.full((1024, 1), 3e3, np.float32) + noise(1, 1, 1) * 1e-3
    out = FrontEnd(FrontEndSpec(), ["A1"], FS).step(x)
    assert np.abs(out).max() < 1.0


def test_references_leave_masked_contacts_out() -> None:
    x = noise(2)
    spoiled = x.copy()
    spoiled[:, 3] = np.nan
    for reference in REFERENCES:
        spec = FrontEndSpec(reference=reference)
        out = FrontEnd(spec, NAMES, FS).step(spoiled)
        assert np.isfinite(out).all()
    average = FrontEnd(FrontEndSpec(reference="average"), NAMES, FS).step(spoiled)
    rest = [i for i in range(len(NAMES)) if i != 3]
    alone = FrontEnd(FrontEndSpec(reference="average"), [NAMES[i] for i in rest], FS)
    np.testing.assert_allclose(average[:, rest], alone.step(x[:, rest]), atol=1e-4)
    assert not average[:, 3].any()


def test_bipolar_and_laplacian_stay_on_the_shaft() -> None:
    common = np.cumsum(np.random.default_rng(2).standard_normal(4096)).astype(np.float32)
    x = np.repeat(common[:, None], len(NAMES), axis=1)
    x += np.linspace(0, 1, len(NAMES), dtype=np.float32)
    for reference in ("bipolar", "laplacian"):
        out = FrontEnd(FrontEndSpec(reference=reference), NAMES, FS).step(x)
        assert np.abs(out).max() < 1e-3
    bipolar = FrontEnd(FrontEndSpec(reference="bipolar"), NAMES, FS)
    assert bipolar.channel_names[4].startswith("A5-A6")
    assert bipolar.channel_names[5].startswith("B1-B2")


def test_a_fault_never_outlives_the_guard() -> None:
    clean, bad = noise(6), noise(6)
    bad[1024:1100, 5] = np.nan
    spec = FrontEndSpec()
    wanted, got = (FrontEnd(spec, NAMES, FS).step(x) for x in (clean, bad))
    others = [i for i in range(len(NAMES)) if i != 5]
    np.testing.assert_array_equal(got[:, others], wanted[:, others])
    # Masked while bad and for one second after, then the filters settle within half a second.
    assert not got[1024 : 1100 + 1023, 5].any()
    np.testing.assert_allclose(got[1100 + 1536 :, 5], wanted[1100 + 1536 :, 5], atol=0.05)


def test_real_noise_is_not_called_flat_or_saturated() -> None:
    guard = Guard(len(NAMES), FS, GuardSpec())
    assert not guard.step(noise(30)).any()


def test_flat_line_is_masked_once_it_has_lasted() -> None:
    x = noise(1, 1)
    x[100:400] = 1.0
    masked = Guard(1, FS, GuardSpec(flat_ms=100, clean_ms=0)).step(x)[:, 0]
    # 100 ms are 103 samples at 1024 Hz: the 103rd equal sample is the first known to be flat.
    assert np.flatnonzero(masked).tolist() == list(range(202, 400))


def test_statistics_come_out_as_z_scores() -> None:
    x = noise(20)
    spec = FrontEndSpec()
    statistics = fit_statistics(FrontEnd(spec, NAMES, FS), [x])
    z = FrontEnd(spec, NAMES, FS, statistics).step(x)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(z.std(0), 1, atol=0.02)


def test_artefacts_do_not_spoil_statistics() -> None:
    """Three seconds of twenty are gone: noise within a few percent; others keep all of theirs."""
    x, rng = noise(20), np.random.default_rng(0)
    bad = x.copy()
    for second in (5, 9, 13):
        bad[second * 1024 + 100 :][:80, 2] += rng.uniform(-4000, 4000, 80).astype(np.float32)
    clean, found = (fit_statistics(FrontEnd(FrontEndSpec(), NAMES, FS), [y]) for y in (x, bad))
    assert found.std[2] == pytest.approx(clean.std[2], rel=0.05)
    others = [c for c in range(len(NAMES)) if c != 2]
    np.testing.assert_array_equal(found.std[others], clean.std[others])


def test_scores_are_clipped() -> None:
    x = noise(2)
    x[1000] = 4e3
    statistics = Statistics(np.zeros(len(NAMES)), np.full(len(NAMES), 5.0))
    out = FrontEnd(FrontEndSpec(clip=3.0), NAMES, FS, statistics).step(x)
    assert out.max() == 3.0


def test_bands_add_channels() -> None:
    spec = FrontEndSpec(bands=(Band(low_hz=70, high_hz=170), Band(low_hz=13, high_hz=30)))
    front_end = FrontEnd(spec, NAMES, FS)
    assert front_end.channels == 2 * len(NAMES)
    assert front_end.step(noise(1)).shape == (1024, 24)


def test_a_band_beyond_nyquist_is_refused() -> None:
    with pytest.raises(SettingsError, match="below 128 Hz"):
        FrontEnd(FrontEndSpec(), NAMES, Fraction(256))


def test_filters_are_scipy_s() -> None:
    x = noise(2, 1)
    spec = FrontEndSpec(rectify=False)
    front_end = FrontEnd(spec, ["A1"], FS)
    sections = front_end.sections[0]
    start = signal.sosfilt_zi(sections)[:, :, None] * x[0]
    wanted, _ = signal.sosfilt(sections, x.astype(np.float64), axis=0, zi=start)
    np.testing.assert_allclose(front_end.step(x), wanted, atol=1e-4)
