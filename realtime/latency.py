"""Latency, defined once: always a difference of two times of a hop, and its name says which.

transport    last sample's LSL time -> available
front_end, encoder, decoder, vocoder, limiter    each its own compute
hop_compute  available -> audio handed to playout
playout      handed over -> DAC
end_to_end   last sample's LSL time -> DAC

An amplifier on another machine stamps by its own clock: its offset, asked for beside the data path,
is added; while it is not known, transport and end_to_end are not known either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}

Times = NDArray[np.float64]


def stages_ms(hops: NDArray[np.void], dac: Times | None = None) -> dict[str, Times]:
    """Latency of each hop per stage, ms; NaN where a time is unknown.

    Parameters
    ----------
    hops : records of `realtime.record.layout.HOP`.
    dac : when each hop's first sample reached the DAC, on the LSL clock; none without playout.
    """
    spans = {
        "transport": ("lsl_time", "available"),
        "front_end": ("started", "front_end"),
        "encoder": ("front_end", "encoder"),
        "decoder": ("encoder", "decoder"),
        "vocoder": ("decoder", "vocoder"),
        "limiter": ("vocoder", "limiter"),
        "hop_compute": ("available", "handed_over"),
    }
    stages = {name: 1e3 * (hops[end] - hops[start]) for name, (start, end) in spans.items()}
    stages["transport"] -= 1e3 * hops["clock_offset"]
    if dac is not None:
        stages["playout"] = 1e3 * (dac - hops["handed_over"])
        stages["end_to_end"] = 1e3 * (dac - hops["lsl_time"] - hops["clock_offset"])
    return stages


def summary_ms(values_ms: Times) -> dict[str, float]:
    """p50, p95, p99, p99.9 and max of the finite values, keys ending in `_ms`; empty if none."""
    finite = values_ms[np.isfinite(values_ms)]
    if not len(finite):
        return {}
    found = {f"{name}_ms": float(np.percentile(finite, p)) for name, p in PERCENTILES.items()}
    return {**found, "max_ms": float(finite.max())}


def summarise(hops: NDArray[np.void], dac: Times | None = None) -> dict[str, Any]:
    """Summary of every stage that has values."""
    tables = {name: summary_ms(values) for name, values in stages_ms(hops, dac).items()}
    return {name: table for name, table in tables.items() if table}


def table(stages: dict[str, dict[str, float]]) -> str:
    """Stages as aligned text, in ms."""
    columns = [*(f"{p}_ms" for p in PERCENTILES), "max_ms"]
    head = f"{'ms':<14}" + "".join(f"{c.removesuffix('_ms'):>9}" for c in columns)
    rows = [
        f"{name:<14}" + "".join(f"{values[c]:9.3f}" for c in columns)
        for name, values in stages.items()
    ]
    return "\n".join([head, *rows])
