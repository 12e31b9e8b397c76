from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import SettingsError
from models.networks.network import SpeechNetwork
from models.spec import OutputSpec
from tests.bundles import TINY_NETWORK
from training.codebooks import fit_codebook, set_codebook


def clusters(centres: list[float], frames: int = 400, bands: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.choice(np.array(centres), (frames, bands)) + rng.normal(0, 0.02, (frames, bands))
    return values.astype(np.float32)


def test_codes_are_the_clusters_centres() -> None:
    mel = clusters([-1.0, 0.0, 0.5, 2.0])
    book = fit_codebook(mel, OutputSpec(kind="discrete", codes=4))
    assert book.shape == (3, 4) and book.dtype == np.float32
    assert np.all(book == book[0])
    # Means of some 300 values with a spread of 0.02.
    np.testing.assert_allclose(book[0], [-1.0, 0.0, 0.5, 2.0], atol=0.01)


def test_each_band_may_have_its_own() -> None:
    mel = clusters([-1.0, 1.0]) + np.array([0.0, 10.0, -20.0], np.float32)
    book = fit_codebook(mel, OutputSpec(kind="discrete", codes=2, codebook="per_bin"))
    np.testing.assert_allclose(book, [[-1, 1], [9, 11], [-21, -19]], atol=0.02)


def test_a_floor_of_silence_takes_no_more_than_its_codes() -> None:
    mel = np.full((1000, 1), -3.0, np.float32)
    mel[:200, 0] = np.linspace(0, 1, 200)
    book = fit_codebook(mel, OutputSpec(kind="discrete", codes=8))
    assert np.count_nonzero(book < -2.9) == 1
    assert np.all(np.diff(book[0]) > 0)


def test_fewer_values_than_codes_are_refused() -> None:
    with pytest.raises(SettingsError, match="2 distinct values; expected at least 3"):
        fit_codebook(np.array([[0.0], [1.0]], np.float32), OutputSpec(kind="discrete", codes=3))


def test_the_book_is_kept_with_the_network_in_its_values() -> None:
    spec = TINY_NETWORK.model_copy(update={"output": OutputSpec(kind="discrete", codes=4)})
    network = SpeechNetwork(spec, 8, 10, 20)
    network.mel_mean.fill_(-6.0)
    network.mel_std.fill_(2.0)
    mel = clusters([-10.0, -8.0, -6.0, -2.0], bands=80)
    set_codebook(network, mel)
    codes = network.decoder.codes
    assert codes is not None
    torch.testing.assert_close(
        codes.book[5], torch.tensor([-2.0, -1.0, 0.0, 2.0]), atol=0.01, rtol=0
    )
    assert any("book" in name for name in network.state_dict())
    frames = codes.frames(
        1e3 * torch.eye(4)[codes.nearest(network.normalise(torch.from_numpy(mel)))].flatten(-2)
    )
    torch.testing.assert_close(network.denormalise(frames), torch.from_numpy(mel), atol=0.2, rtol=0)
