"""Codebooks of a discrete output: k-means over the values of mel bands."""

from __future__ import annotations

import numpy as np
import torch
from scipy.cluster.vq import kmeans2

from models.errors import SettingsError
from models.networks.network import SpeechNetwork
from models.spec import OutputSpec
from models.streaming import Floats

MOST = 200_000
"""Values that a codebook is fitted to; more are sampled, evenly."""
ITERATIONS = 50


def fit_codebook(mel: Floats, spec: OutputSpec) -> Floats:
    """Codes `(bands, codes)` in rising order, of `(frames, bands)`; no chance in it.

    Lloyd's iteration (Lloyd 1982) in one dimension, from the quantiles of distinct values: those
    of all values would fall together on the floor of silence. A global codebook is repeated for
    every band.

    Raises
    ------
    SettingsError
        If a band has fewer distinct values than codes.
    """
    if spec.codebook == "global":
        return np.tile(_codes(mel.ravel(), spec.codes), (mel.shape[1], 1))
    return np.stack([_codes(band, spec.codes) for band in mel.T])


def set_codebook(network: SpeechNetwork, mel: Floats) -> None:
    """Fit a network's codebook to natural-log training mels `(frames, bands)`.

    Its mean and deviation must be set before. A network of continuous output is left as it is.
    """
    codes = network.decoder.codes
    if codes is not None:
        normalised = network.normalise(torch.from_numpy(mel).to(network.mel_mean.device))
        fitted = fit_codebook(normalised.cpu().numpy(), network.spec.output)
        codes.book.copy_(torch.from_numpy(fitted))


def _codes(values: Floats, count: int) -> Floats:
    sampled = values[:: -(-len(values) // MOST)].astype(np.float64)
    distinct = np.unique(sampled)
    if len(distinct) < count:
        raise SettingsError(
            f"mel values to cluster take {len(distinct)} distinct values",
            f"at least {count}, one for each code",
            "lower network.output.codes, use codebook = 'global', or check the audio",
        )
    start = np.quantile(distinct, (np.arange(count) + 0.5) / count)
    codes, _ = kmeans2(sampled[:, None], start[:, None], iter=ITERATIONS, minit="matrix")
    return np.sort(codes[:, 0]).astype(np.float32)
