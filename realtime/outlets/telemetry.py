"""The channels of the telemetry stream: one value each, every hop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.pipeline import Hop

CHANNELS: dict[str, str] = {
    "hop": "count",
    "transport_ms": "ms",
    "front_end_ms": "ms",
    "encoder_ms": "ms",
    "decoder_ms": "ms",
    "vocoder_ms": "ms",
    "limiter_ms": "ms",
    "hop_compute_ms": "ms",
    "late": "flag",
    "dropped": "flag",
    "muted": "flag",
    "finite": "flag",
    "bridged_samples": "count",
    "masked_contacts": "count",
    "clock_known": "flag",
    "underruns": "count",
    "playout_delay_ms": "ms",
}
"""Label and unit. Stage times are each its own compute; transport is NaN while the sender's clock
is unknown; `dropped` audio came too late to be played, `muted` was not heard; underruns count from
the start; the playout delay is smoothed, NaN before sound."""

UNDERRUNS = list(CHANNELS).index("underruns")
PLAYOUT_DELAY = list(CHANNELS).index("playout_delay_ms")
_FLAGS = slice(list(CHANNELS).index("late"), UNDERRUNS)


def fill_row(
    row: NDArray[np.float32], hop: Hop, handed_over: float, time: float, known: bool, late: bool
) -> None:
    """Write one hop into `row`, all but what playout says.

    `handed_over` and `time` (the LSL time of the hop's last sample) are seconds on the local LSL
    clock; `time` is NaN where `known` is false.
    """
    done = (hop.started, hop.front_end, hop.encoder, hop.decoder, hop.vocoder, hop.limiter)
    row[0] = hop.index
    row[1] = 1e3 * (hop.available - time)
    for stage in range(5):
        row[2 + stage] = 1e3 * (done[stage + 1] - done[stage])
    row[7] = 1e3 * (handed_over - hop.available)
    row[_FLAGS] = late, hop.dropped, hop.muted, hop.finite, hop.bridged, hop.masked, known
