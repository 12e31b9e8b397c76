"""The proof that the exported graphs are the trained network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models.errors import BundleError
from models.networks.network import SpeechNetwork
from models.spec import BundleSpec
from models.streaming import Floats
from realtime.decoder import Decoder
from realtime.encoder import Encoder
from realtime.graph import StepGraph

# Both sides compute in float32 in another order; measured departures are near 1e-6 of the values,
# and what a listener or a score could notice begins far above this.
TOLERANCE = 1e-4
SECONDS = 60


def decode_offline(network: SpeechNetwork, spec: BundleSpec, features: Floats) -> Floats:
    """Mel `(hops, 80)` of a whole run at once, in torch, from a cold start."""
    clock = spec.clock
    hops = clock.hops_in(len(features))
    ticks = [clock.ticks(k) for k in range(hops)]
    with torch.inference_mode():
        out = network.eval()(torch.from_numpy(features)[None], ticks)
        return network.denormalise(out.after)[0].numpy()


def decode_stepped(
    graphs: tuple[StepGraph, StepGraph], spec: BundleSpec, features: Floats
) -> Floats:
    """Mel `(hops, 80)` of the same run, hop by hop, through step graphs."""
    encoder, decoder = Encoder(graphs[0]), Decoder(graphs[1], spec.clock)
    encoder.reset()
    clock = spec.clock
    hops = range(clock.hops_in(len(features)))
    blocks = (features[clock.end(k - 1) : clock.end(k)] for k in hops)
    return np.concatenate([decoder.step(encoder.step(block)) for block in blocks])


def prove(
    network: SpeechNetwork,
    graphs: tuple[StepGraph, StepGraph],
    spec: BundleSpec,
    features: Floats,
) -> dict[str, Any]:
    """Compare torch offline with the step graphs over the features given.

    Raises
    ------
    BundleError
        If any mel value departs by more than `TOLERANCE`, or is not finite.
    """
    offline = decode_offline(network, spec, features)
    stepped = decode_stepped(graphs, spec, features)
    departure = float(np.max(np.abs(offline - stepped)))
    if not departure <= TOLERANCE:
        raise BundleError(
            f"torch and the exported graphs differ by {departure:.2g} in mel",
            f"at most {TOLERANCE:g}",
            "no bundle was written; report the versions of torch, onnxscript and onnxruntime",
        )
    return {
        "torch_vs_onnx_max": departure,
        "tolerance": TOLERANCE,
        "seconds": round(len(offline) * float(spec.hop_s), 3),
    }


def long_enough(features: Floats, spec: BundleSpec, seconds: int = SECONDS) -> Floats:
    """At least `seconds` of features: these, repeated end to end as often as needed."""
    wanted = int(seconds * spec.fs_hz) + 1
    return np.tile(features, (-(-wanted // len(features)), 1))[:wanted]
