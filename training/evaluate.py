"""Scores of the causal network, by running the streaming pipeline itself."""

from __future__ import annotations

import numpy as np

from models.streaming import Floats
from realtime.pipeline import Pipeline
from training.baselines import LinearBaseline, hop_features
from training.prepare import Prepared
from training.scores import ScoreTable, score_table

NETWORK = "causal network, streamed"
BASELINE = "linear baseline"


def stream_mel(pipeline: Pipeline, seeg: Floats) -> Floats:
    """Mel `(hops, 80)` of a held-out part, stepped hop by hop from a cold start."""
    pipeline.reset()
    mel = np.array([hop.mel for hop in pipeline.hops(seeg)], np.float32)
    pipeline.reset()
    return mel


def evaluate(pipeline: Pipeline, prepared: Prepared, note: str = "") -> ScoreTable:
    """The held-out table: network and linear baseline beside the lines without neural data.

    With a look-ahead of `n` hops, hop `k` describes frame `k - n`: compared as such.
    """
    ahead = prepared.spec.target_lookahead
    decoded = stream_mel(pipeline, prepared.held_out_seeg)[ahead:]
    truth = prepared.held_out_mel[: len(decoded)]
    linear = linear_mel(prepared)[: len(decoded)]
    return score_table(
        truth,
        prepared.training.mel,
        {NETWORK: decoded, BASELINE: linear},
        {BASELINE: "sees 200 ms of future"},
        note,
    )


def linear_mel(prepared: Prepared) -> Floats:
    """What the linear baseline, fitted on the training part, makes of the held-out part."""
    fs = prepared.spec.fs_hz
    hops = len(prepared.training.mel)
    model = LinearBaseline.fit(
        hop_features(prepared.training_seeg, fs, hops), prepared.training.mel
    )
    return model.predict(hop_features(prepared.held_out_seeg, fs, len(prepared.held_out_mel)))
