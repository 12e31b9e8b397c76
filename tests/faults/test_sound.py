"""The analysis itself: what it must find, and what it must not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.faults.sound import (
    RATE,
    Heard,
    greatest_likeness,
    largest_step,
    repeats,
    silent_runs,
    step_bound,
)


def rumble(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise of 100 to 700 Hz, RMS 0.05."""
    n = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(hz < 100) | (hz > 700)] = 0
    audio = np.fft.irfft(spectrum, n)
    return (0.05 * audio / audio.std()).astype(np.float32)


def fade(n: int) -> np.ndarray:
    return 0.5 + 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)


def heard(audio: np.ndarray, begun: float = 100.0, delay: float = 0.01, sd: float = 0.004) -> Heard:
    """As if captured in pieces of 10 ms, each up to some ms late."""
    counts = np.arange(480, len(audio) + 1, 480)
    late = np.abs(np.random.default_rng(1).normal(0, sd, len(counts)))
    return Heard(audio, np.stack([counts, begun + counts / RATE + delay + late], axis=1))


def test_silences_are_found_and_timed() -> None:
    audio = rumble(6.0)
    audio[2 * RATE : int(2.5 * RATE)] = 0
    audio[4 * RATE : int(4.003 * RATE)] = 0
    assert silent_runs(audio, 0.02) == [(2 * RATE, int(2.5 * RATE))]
    (span,) = heard(audio).silences()
    # Late by the capture's least delay, 10 ms, and never early.
    assert 102.0 <= span.start < 102.02
    assert span.seconds == pytest.approx(0.5, abs=0.01)
    assert heard(audio).silence_after(102.2) == span
    assert heard(audio).silence_after(103) is None


def test_times_follow_a_capture_that_runs_slow() -> None:
    """A sink at 0.99 of the pace: a fit over all would be off by tens of ms, this is not."""
    audio = rumble(20.0)
    counts = np.arange(480, len(audio) + 1, 480)
    slow = Heard(audio, np.stack([counts, counts / RATE / 0.99 + 0.01], axis=1))
    frame = np.array([15.0 * RATE])
    assert slow.times(frame)[0] == pytest.approx(15.0 / 0.99 + 0.01, abs=0.012)


def test_a_fade_is_no_click_and_a_cut_is() -> None:
    audio = rumble(4.0)
    bound = step_bound(audio[:RATE])
    faded = audio.copy()
    faded[2 * RATE : 2 * RATE + 201] *= fade(201)
    faded[2 * RATE + 201 : 3 * RATE] = 0
    faded[3 * RATE : 3 * RATE + 201] *= fade(201)[::-1]
    assert largest_step(faded) < bound
    # A cut is heard where the audio is beyond the bound: most places, so of 50 most are found.
    cuts = 0
    for place in np.random.default_rng(2).integers(RATE, 3 * RATE, 50):
        cut = audio.copy()
        cut[place:] = 0
        cuts += largest_step(cut) > bound
    assert cuts > 35


@pytest.mark.parametrize("lag_s", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("length_s", [0.04, 0.2])
def test_repeated_audio_is_found(lag_s: float, length_s: float) -> None:
    audio = rumble(3.0)
    lag, n, at = int(lag_s * RATE), int(length_s * RATE), int(1.5 * RATE)
    for start in range(at, at + n, lag):
        stop = min(start + lag, at + n)
        audio[start:stop] = audio[at - lag : at - lag + stop - start]
    found = repeats(audio)
    assert found
    assert all(1.48 < place < 1.5 + length_s for place, _ in found)
    assert found[0][1] == pytest.approx(lag_s, abs=0.001)


def test_audio_that_goes_on_is_no_repeat() -> None:
    assert repeats(rumble(5.0)) == []
    assert greatest_likeness(rumble(5.0)) < 0.93
    assert repeats(np.zeros(RATE, np.float32)) == []
