"""The limiter holds both ceilings on anything, and is a stage like the others."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from models.streaming import run_in_chunks
from realtime.limiter import DELAY, Limiter, LimiterSettings

# ONNX Runtime has the processor flush subnormal numbers, in every test that follows it.
ANY_FLOAT = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=False)
LOUD = st.floats(-4, 4, width=32, allow_subnormal=False)


@pytest.fixture(autouse=True)
def denormals() -> None:
    """ONNX Runtime's sessions, made by other tests, flush denormals in this thread for good."""
    torch.set_flush_denormal(False)


def loudest_window(audio: np.ndarray, window: int = 800) -> float:
    """Largest RMS of any `window` samples (50 ms), dB of full scale."""
    padded = np.concatenate((np.zeros(window), audio.astype(float) ** 2, np.zeros(window)))
    sums = np.cumsum(padded)
    return float(10 * np.log10(np.max(sums[window:] - sums[:-window]) / window + 1e-30))


@st.composite
def pieces(draw: st.DrawFn) -> np.ndarray:
    """Stretches of anything: tones, noise, steps, silence, single values of any size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = []
    for _ in range(draw(st.integers(1, 6))):
        n, size = draw(st.integers(1, 1500)), draw(LOUD)
        kind = draw(st.sampled_from(["noise", "tone", "step", "spikes", "quiet"]))
        shape = {
            "noise": rng.standard_normal(n),
            "tone": np.sin(np.arange(n) * draw(st.floats(0.01, 3.1))),
            "step": np.ones(n),
            "spikes": (rng.random(n) < 0.01) * 1e30,
            "quiet": np.zeros(n),
        }[kind]
        parts.append(size * shape)
    return np.concatenate(parts).astype(np.float32)


def check_ceilings(audio: np.ndarray, out: np.ndarray) -> None:
    assert out.shape == audio.shape
    assert out.dtype == np.float32
    assert np.all(np.isfinite(out))
    assert np.max(np.abs(out), initial=0.0) <= np.float32(0.5)
    assert loudest_window(out) <= -14.0


@given(audio=pieces())
@settings(max_examples=60, deadline=None)
def test_never_above_either_ceiling(audio: np.ndarray) -> None:
    check_ceilings(audio, Limiter().step(audio))


@given(audio=pieces())
@settings(max_examples=40, deadline=None)
def test_the_hardest_settings_hold_as_well(audio: np.ndarray) -> None:
    """A window no longer than an onset, and a gain that hurries back: here the budget decides."""
    hard = LimiterSettings(peak=0.9, level_dbfs=-20, window_ms=10, release_ms=5)
    out = Limiter(hard).step(np.concatenate((np.ones(300, np.float32), audio)))
    assert np.max(np.abs(out)) <= np.float32(0.9)
    assert loudest_window(out, 160) <= -20.0


@given(audio=arrays(np.float32, st.integers(0, 400), elements=ANY_FLOAT))
@settings(max_examples=60, deadline=None)
def test_never_above_on_any_bits(audio: np.ndarray) -> None:
    check_ceilings(audio, Limiter().step(audio))


@given(audio=pieces(), sizes=st.lists(st.integers(0, 500), max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_chunking_gives_the_same_bits(audio: np.ndarray, sizes: list[int]) -> None:
    whole = Limiter().step(audio)
    assert np.array_equal(run_in_chunks(Limiter(), audio, sizes), whole)


@given(audio=pieces(), cut=st.integers(1, 1000))
@settings(max_examples=30, deadline=None)
def test_the_future_changes_nothing_past(audio: np.ndarray, cut: int) -> None:
    changed = audio.copy()
    changed[cut:] = 0.3
    same = slice(0, cut)
    assert np.array_equal(Limiter().step(audio)[same], Limiter().step(changed)[same])


def test_reset_equals_fresh() -> None:
    rng = np.random.default_rng(3)
    audio = rng.standard_normal(3000).astype(np.float32)
    used = Limiter()
    used.step(audio[::-1].copy())
    used.reset()
    assert np.array_equal(used.step(audio), Limiter().step(audio))


def test_quiet_audio_passes_bit_for_bit() -> None:
    rng = np.random.default_rng(4)
    audio = (0.05 * rng.standard_normal(16_000)).astype(np.float32)
    out = Limiter().step(audio)
    assert np.array_equal(out[DELAY:], audio[:-DELAY])
    assert Limiter().latency * 16_000 == DELAY


def test_a_bad_sample_is_silent_and_its_neighbours_are_not() -> None:
    audio = np.full(1000, 0.1, dtype=np.float32)
    audio[[300, 500, 700]] = np.nan, np.inf, -np.inf
    expected = np.where(np.isfinite(audio), audio, 0)
    assert np.array_equal(Limiter().step(audio)[DELAY:], expected[:-DELAY])


def test_the_gain_has_no_steps() -> None:
    """A tone that jumps to 20 times its level: gain moves over 1 ms at least, so 1/16 a sample."""
    tone = np.sin(np.arange(8000) * 0.05)
    audio = (tone * np.where(np.arange(8000) < 4000, 0.1, 2.0)).astype(np.float32)
    out = Limiter().step(audio)[DELAY:].astype(float)
    certain = np.abs(audio[:-DELAY]) > 0.02
    gain = out[certain] / audio[:-DELAY][certain]
    assert gain.min() < 0.5
    gaps = np.diff(np.flatnonzero(certain))
    assert np.max(np.abs(np.diff(gain)) / gaps) <= 1 / 16


@pytest.mark.parametrize("level", [0.4, 1.0, 1e3])
def test_a_steady_tone_settles_just_below_the_ceiling(level: float) -> None:
    audio = (level * np.sin(np.arange(32_000) * 0.3)).astype(np.float32)
    out = Limiter().step(audio)
    # 1 dB is kept for onsets (SETTLE_POWER), 0.1 dB for the window's odd block.
    assert loudest_window(out[16_000:]) == pytest.approx(-15.1, abs=0.2)


def test_the_gain_returns_after_loudness() -> None:
    audio = np.concatenate((np.ones(8000), np.full(16_000, 0.1))).astype(np.float32)
    assert Limiter().step(audio)[-1] == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [{"peak": 0}, {"peak": 1.1}, {"level_dbfs": 0}, {"level_dbfs": float("nan")}, {"off": True}],
)
def test_ceilings_cannot_be_taken_away(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LimiterSettings(**wrong)
    with pytest.raises(ValidationError):
        LimiterSettings().peak = 1.0


@given(
    audio=pieces(),
    gains=st.lists(st.floats(-60, 20, allow_subnormal=False), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_the_ceilings_hold_whatever_the_operator_asks(
    audio: np.ndarray, gains: list[float]
) -> None:
    limiter, out = Limiter(), []
    for gain_db, part in zip(gains, np.array_split(audio, len(gains)), strict=True):
        limiter.amplify(gain_db)
        out.append(limiter.step(part))
    check_ceilings(audio, np.concatenate(out))


def test_gain_is_exact_once_it_is_reached_and_glides_until_then() -> None:
    tone = np.float32(0.05) * np.sin(np.arange(9600) * 0.3).astype(np.float32)
    limiter = Limiter()
    before = limiter.step(tone[:4800])
    limiter.amplify(6.0)
    out = np.concatenate((before, limiter.step(tone[4800:])))
    factor, begin = 10 ** (6.0 / 20), 4800 + DELAY
    # float32 rounds at 6e-8.
    np.testing.assert_allclose(out[DELAY:begin], tone[:4800], rtol=1e-6)
    np.testing.assert_allclose(out[begin + 240 :], factor * tone[5040:-DELAY], rtol=1e-6)
    # No click: the glide adds 0.05 x 1 / 240 a sample to the steps of the louder tone.
    steps = np.abs(np.diff(out))
    assert np.max(steps) <= factor * np.max(np.abs(np.diff(tone))) + 0.05 / 240


@pytest.mark.parametrize("chunk", [1, 7, 16, 240, 333])
def test_gain_does_not_depend_on_blocks(chunk: int) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 1500).astype(np.float32)
    whole, chunked = Limiter(), Limiter()
    for limiter in (whole, chunked):
        limiter.amplify(9.0)
    parts = [chunked.step(audio[i : i + chunk]) for i in range(0, len(audio), chunk)]
    np.testing.assert_array_equal(np.concatenate(parts), whole.step(audio))


def test_zero_gain_changes_no_bit_and_a_reset_keeps_the_gain() -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 1500).astype(np.float32)
    plain, asked = Limiter(), Limiter(LimiterSettings(gain_db=-12))
    asked.amplify(0.0)
    asked.reset()
    np.testing.assert_array_equal(plain.step(audio), asked.step(audio))
    asked.amplify(99.0)
    assert asked.gain_db == 20.0
    with pytest.raises(ValidationError):
        LimiterSettings(gain_db=21)


def test_a_gain_that_changes_nothing_leaves_no_trace() -> None:
    """A session is decoded again from the gain in force at each pull: what came between is gone."""
    audio = np.random.default_rng(0).normal(0, 0.1, 1500).astype(np.float32)
    settled, asked = Limiter(LimiterSettings(gain_db=5.3)), Limiter()
    asked.amplify(5.3)
    asked.step(np.zeros(240, np.float32))
    settled.step(np.zeros(240, np.float32))
    # The same again; and another one, taken back before it was heard.
    asked.amplify(5.3)
    asked.amplify(-3.1)
    asked.amplify(5.3)
    np.testing.assert_array_equal(settled.step(audio), asked.step(audio))
