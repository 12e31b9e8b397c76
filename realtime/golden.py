"""Golden vectors: what every stage must make of a few recorded seconds, on any machine.

Each stage is given the golden input of that stage, so a departure is found where it arises.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from models.bundle import Arrays, Bundle
from models.errors import BundleError
from models.spec import Weights
from models.streaming import Floats, Stage
from realtime.pipeline import Pipeline

STAGES = ("front_end", "encoder", "decoder", "vocoder", "limiter")
NETWORK = ("encoder", "decoder")

# Other processors round otherwise: float32 kernels of other widths give 1e-6 relative per step and
# recurrences keep it there; a wrong graph, filter or window is off by orders of magnitude more.
TOLERANCE = {
    **dict.fromkeys(("front_end", "encoder", "decoder"), 1e-3),
    **dict.fromkeys(("vocoder", "limiter"), 0.02),
    # Where the last bit of a float32 falls otherwise, an activation is rounded to the next of 256
    # levels, and the recurrence carries it on.
    **dict.fromkeys(("encoder.int8", "decoder.int8"), 0.03),
}


def make_golden(
    pipeline: Pipeline, seeg: Floats, others: Mapping[Weights, Pipeline] | None = None
) -> Arrays:
    """Step every stage over `(samples, contacts)` microvolts from a cold start.

    Parameters
    ----------
    pipeline : with float32 weights.
    others : with others; of these encoder and decoder are kept, as `encoder.int8` and so on.
    """
    pipeline.reset()
    whole = seeg[: pipeline.clock.end(pipeline.clock.hops_in(len(seeg)) - 1)]
    arrays: Arrays = {"seeg": whole.astype(np.float32)}
    block = arrays["seeg"]
    for name in STAGES:
        block = getattr(pipeline, name).step(block)
        arrays[name] = block
    pipeline.reset()
    for weights, other in (others or {}).items():
        block = arrays["front_end"]
        for name in NETWORK:
            block = getattr(other, name).step(block)
            arrays[key_of(name, weights)] = block
        other.reset()
    return arrays


def key_of(stage: str, weights: Weights) -> str:
    """Name of a stage's golden output, and of its tolerance, with these weights."""
    return f"{stage}.{weights}" if weights != "float32" and stage in NETWORK else stage


def check_golden(
    pipeline: Pipeline, bundle: Bundle, weights: Weights | None = None
) -> dict[str, float]:
    """Replay a bundle's golden vectors; return the largest departure of each stage.

    Departures are relative to the largest expected value; of audio it is one minus the correlation
    of the waveforms, since a phase may settle otherwise where two spectral peaks are level.
    The pipeline must have the vocoder that the vectors were made with, `phase`; `weights` says
    which it has, the bundle's preferred ones if None.

    Raises
    ------
    BundleError
        If a stage departs by more than its tolerance.
    """
    golden, departures = bundle.golden(), {}
    pipeline.reset()
    kind = weights or bundle.spec.weights
    block = golden["seeg"]
    for name in STAGES:
        key = key_of(name, kind)
        stage: Stage = getattr(pipeline, name)
        departures[name] = _departure(name, stage.step(block), golden[key])
        if not departures[name] <= TOLERANCE[key]:
            raise BundleError(
                f"{bundle.path}: golden vectors: {key} departs by {departures[name]:.2g}",
                f"at most {TOLERANCE[key]:g}",
                "this machine or version computes something else: "
                + (
                    "export the bundle here"
                    if key == name
                    else "run it with weights = 'float32', or export it here"
                ),
            )
        # Sound was made from the float32 mel.
        block = golden[key if name == "encoder" else name]
    pipeline.reset()
    return departures


def _departure(name: str, got: Floats, wanted: Floats) -> float:
    if got.shape != wanted.shape:
        return float("inf")
    if name in ("vocoder", "limiter"):
        a, b = got.astype(np.float64), wanted.astype(np.float64)
        energy = np.sqrt(np.sum(a * a) * np.sum(b * b))
        return float(1.0 - np.sum(a * b) / energy) if energy > 0 else float(np.max(np.abs(a - b)))
    return float(np.max(np.abs(got - wanted))) / max(1.0, float(np.max(np.abs(wanted))))


def golden_seconds(bundle: Bundle) -> Fraction:
    """Length of the golden input, seconds."""
    return Fraction(len(bundle.golden()["seeg"])) / bundle.spec.fs_hz
