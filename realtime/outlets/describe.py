"""What each outlet says of itself, by the conventions of LSL and XDF.

`desc/channels/channel/{label,unit,type}` and `desc/acquisition/manufacturer` as in
github.com/sccn/xdf/wiki/EEG-Meta-Data; `desc/synchronization/can_drop_samples` tells readers that
silence leaves gaps, which they must not spread over the rest; `desc/seegvox` is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import pylsl

from models.hops import HOP
from models.mel import BANDS, FMAX_HZ, VOCODER_RATE, hz_to_mel, mel_to_hz
from realtime.outlets.settings import Kind, OutletSettings
from realtime.outlets.telemetry import CHANNELS
from realtime.streams import write_description


@dataclass(frozen=True)
class Source:
    """Where the data came from: the bundle, and the stream that feeds it.

    `lookahead_s`: how far the stages see past the frame they emit, seconds.
    """

    bundle_name: str
    bundle_sha256: str
    stream_name: str
    stream_source_id: str
    stream_uid: str
    lookahead_s: float


@dataclass(frozen=True)
class _Shape:
    """Type, rate in Hz (0: irregular), format, channel type, labels and a unit for each."""

    type: str
    rate: float
    format: int
    channel_type: str
    labels: Sequence[str]
    units: Sequence[str]


def band_centres_hz() -> list[float]:
    """Centre of each of the 80 mel bands, Hz."""
    edges = np.linspace(0.0, float(hz_to_mel(np.array(FMAX_HZ))), BANDS + 2)
    return [float(hz) for hz in mel_to_hz(edges)[1:-1]]


def _shapes() -> dict[Kind, _Shape]:
    per_s = float(1 / HOP)
    bands = [f"mel {hz:.1f} Hz" for hz in band_centres_hz()]
    number = pylsl.cf_float32
    return {
        "mel": _Shape("Mel", per_s, number, "Mel", bands, ["ln(amplitude)"] * BANDS),
        "audio": _Shape("Audio", float(VOCODER_RATE), number, "Audio", ["audio"], ["full scale"]),
        "telemetry": _Shape(
            "Telemetry", per_s, number, "Telemetry", list(CHANNELS), list(CHANNELS.values())
        ),
        "events": _Shape("Markers", 0.0, pylsl.cf_string, "Markers", ["event"], ["json"]),
    }


def stream_info(kind: Kind, settings: OutletSettings, source: Source) -> pylsl.StreamInfo:
    """The description of one outlet."""
    shape = _shapes()[kind]
    info = pylsl.StreamInfo(
        settings.stream_name(kind),
        shape.type,
        len(shape.labels),
        shape.rate,
        shape.format,
        settings.source_id(kind),
    )
    write_description(info, shape.labels, "", shape.channel_type, "seegvox")
    info.set_channel_units(list(shape.units))
    desc = info.desc()
    desc.append_child("synchronization").append_child_value("can_drop_samples", "true")
    own = desc.append_child("seegvox")
    for key, value in _own(source).items():
        own.append_child_value(key, value)
    return info


def _own(source: Source) -> dict[str, str]:
    return {
        "version": metadata.version("seegvox"),
        "hop_s": str(HOP),
        "timestamps": "LSL time of the last neural sample of the hop, on this host's clock; of "
        "audio, that of the hop's last sample",
        **{key: str(value) for key, value in vars(source).items()},
    }
