"""The published-style chain does what its paper says, or its cost would mean nothing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from models.mel import filterbank
from tools.bench.griffin_lim import BlockGriffinLim
from tools.bench.linear_chain import CLASSES, LinearChain


def test_a_step_is_10_ms_of_sound() -> None:
    chain = LinearChain(32, Fraction(1024))
    rng = np.random.default_rng(0)
    for k in range(50):
        samples = chain.clock.end(k) - chain.clock.end(k - 1)
        assert samples in (10, 11)
        sound = chain.step(rng.normal(0, 30, (samples, 32)).astype(np.float32))
        assert sound.shape == (160,)
        assert np.isfinite(sound).all()
    assert chain.clock.end(99) == 1024


def test_filters_pass_high_gamma_alone() -> None:
    """Log power of a tone of 120 Hz against one of 30 Hz and one of 100 Hz, a mains harmonic."""
    levels = {}
    for hz in (30, 100, 120):
        chain = LinearChain(1, Fraction(1024))
        tone = 30 * np.sin(2 * np.pi * hz * np.arange(2048) / 1024)
        for k in range(199):
            block = tone[chain.clock.end(k - 1) : chain.clock.end(k), None]
            features = chain._features(block.astype(np.float32))
        levels[hz] = features.max()
    assert levels[120] - levels[30] > np.log(100)
    assert levels[120] - levels[100] > np.log(100)


def test_the_context_reaches_200_ms_back() -> None:
    """After a burst of 50 ms, the newest window falls at once, the oldest 200 ms later."""
    chain = LinearChain(1, Fraction(1000))
    assert len(chain._selected) == 5
    rng = np.random.default_rng(0)
    history = []
    for k in range(60):
        level = 100.0 if 20 <= k < 25 else 0.1
        history.append(chain._features(rng.normal(0, level, (10, 1)).astype(np.float32)))
    loudest = np.argmax(np.array(history), axis=0)
    assert list(np.diff(loudest)) == pytest.approx([-5] * 4, abs=2)
    # The narrow stop bands have group delays of some 30 ms.
    assert 24 <= loudest[-1] <= 29


def test_each_bin_takes_the_centre_of_one_of_nine_intervals() -> None:
    chain = LinearChain(32, Fraction(1024))
    mel = chain.decode(np.random.default_rng(0).standard_normal(len(chain._selected)))
    assert mel.shape == (40,)
    assert chain._centres.shape == (40, CLASSES)
    assert all(value in centres for value, centres in zip(mel, chain._centres, strict=True))


def test_griffin_lim_gives_sound_of_the_frames_that_it_is_given() -> None:
    """A steady tone's mel, 8 iterations: most of the sound's energy is in the tone's band."""
    basis = filterbank(16_000, 256, 40)
    spectrum = np.zeros(129)
    spectrum[32] = 40.0
    mel = np.log(np.maximum(basis @ spectrum, 1e-5))
    vocoder = BlockGriffinLim(160, 256)
    sound = np.concatenate([vocoder.step(mel) for _ in range(30)])[1600:]
    power = np.abs(np.fft.rfft(sound)) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / 16_000)
    near = power[np.abs(hz - 2000) < 250].sum()
    assert near > 0.8 * power.sum()
