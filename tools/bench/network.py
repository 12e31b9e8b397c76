"""The network's step alone, and what it is measured against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.bundle import GRAPHS, Bundle
from models.errors import need
from tools.bench.rounds import Contestant

if TYPE_CHECKING:
    from realtime.graph import StepGraph

FLOOR, WINDOW, EAGER = "floor", "window", "eager"
YARDSTICKS = {
    FLOOR: "one float32 matrix-vector product over as many weights",
    WINDOW: "the whole 200 ms window encoded anew every hop, ONNX Runtime",
    EAGER: "the same step in torch, eagerly",
}
# Enough for a p99, and the run stays short.
_SHARE = 0.2


def steps(bundle: Bundle, seed: int = 0) -> dict[str, Contestant]:
    """A step, encoder ticks and decoder tick of a hop, for each precision that the bundle has."""
    from realtime.graph import OnnxGraph

    found = {}
    for weights in GRAPHS:
        if bundle.has(weights):
            encoder, decoder = map(OnnxGraph, bundle.graphs(weights))
            found[f"step_{weights}"] = Contestant(_stepper(bundle, (encoder, decoder), seed))
    return found


def yardsticks(bundle: Bundle, scratch: Path, seed: int = 0) -> dict[str, Contestant]:
    """The matrix-vector floor, window recomputation and eager torch, of the bundle's shapes.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    """
    need("torch", "train")
    from training.yardsticks import eager_graphs, window_graph

    spec, channels = bundle.spec, bundle.front_end().channels
    window = window_graph(spec, channels, scratch)
    window.inputs["samples"][:] = np.random.default_rng(seed).standard_normal(
        window.inputs["samples"].shape
    )
    eager = _stepper(bundle, eager_graphs(spec, channels), seed)
    return {
        FLOOR: floor(bundle),
        WINDOW: Contestant(window.run, _SHARE),
        EAGER: Contestant(eager, _SHARE),
    }


def floor(bundle: Bundle) -> Contestant:
    """One matrix-vector product over as many weights as the bundle's float32 graphs hold.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    """
    need("torch", "train")
    from training.yardsticks import Floor, weight_count

    # As many turns as the step itself: `bench compare` sets every round against it.
    return Contestant(Floor(weight_count(bundle.spec, bundle.front_end().channels)).run)


def _stepper(bundle: Bundle, graphs: tuple[StepGraph, StepGraph], seed: int) -> Callable[[], None]:
    from realtime.decoder import Decoder
    from realtime.encoder import Encoder

    clock = bundle.spec.clock
    encoder, decoder = Encoder(graphs[0]), Decoder(graphs[1], clock)
    rng, hops = np.random.default_rng(seed), iter(range(1 << 62))
    features = rng.standard_normal((clock.end(0) + 1, encoder.channels)).astype(np.float32)

    def step() -> None:
        k = next(hops)
        decoder.step(encoder.step(features[: clock.end(k) - clock.end(k - 1)]))

    return step
