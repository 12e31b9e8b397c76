from __future__ import annotations

from fractions import Fraction

import librosa
import numpy as np
import soxr

from models.hops import frame_centre
from models.mel import BANDS, LOG_FLOOR, filterbank, hann, log_mel, vocoder_basis


def test_bands_are_librosa_s_slaney_bands() -> None:
    wanted = librosa.filters.mel(sr=22_050, n_fft=1024, n_mels=80, fmin=0, fmax=8000)
    # librosa computes in float32.
    np.testing.assert_allclose(filterbank(22_050, 1024), wanted, atol=1e-7)


def test_frames_are_librosa_s_at_the_hop_centres() -> None:
    audio = np.random.default_rng(0).standard_normal(22_050).astype(np.float32)
    frames = log_mel(audio)
    assert frames.shape == (66, BANDS)
    for k in (3, 17, 40):
        start = frame_centre(k, Fraction(22_050)) - 512
        wanted = librosa.feature.melspectrogram(
            y=audio[start : start + 1024],
            sr=22_050,
            n_fft=1024,
            center=False,
            power=1.0,
            n_mels=80,
            fmax=8000,
        )[:, 0]
        np.testing.assert_allclose(frames[k], np.log(np.maximum(wanted, 1e-5)), atol=1e-4)


def test_silence_is_the_floor_and_lies_outside_the_audio() -> None:
    frames = log_mel(np.ones(2205, np.float32), frames=40)
    assert frames[30:].max() == np.float32(LOG_FLOOR)


def test_the_vocoder_s_grid_gives_the_same_values() -> None:
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(22_050 * 3)
    # Coloured like speech, so that bands differ in level.
    audio = np.convolve(noise, np.exp(-np.arange(64) / 8.0), "same") * 0.02
    wanted = log_mel(audio.astype(np.float32))
    low = soxr.resample(audio, 22_050, 16_000)
    padded = np.pad(low, 360)
    starts = np.arange(len(wanted)) * 240 + 120
    spectra = np.abs(np.fft.rfft([padded[s : s + 720] * hann(720) for s in starts], axis=1))
    got = np.log(np.maximum(spectra @ vocoder_basis().T, 1e-5))
    # Band 79 ends at the Nyquist frequency, where resampling attenuates. The rest: windows of 45
    # and 46.4 ms see noise slightly differently frame by frame, but not on average.
    assert abs(np.mean((got - wanted)[5:-5, :78])) < 0.05
