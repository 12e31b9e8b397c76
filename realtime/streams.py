"""LSL streams: find the one that was asked for, read and write what it says about itself.

The description follows the XDF conventions for EEG (github.com/sccn/xdf/wiki/EEG-Meta-Data):
`desc/channels/channel/{label,unit,type}` and `desc/acquisition/manufacturer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import pylsl
from pydantic import Field
from pylsl.util import LostError
from pylsl.util import TimeoutError as LslTimeoutError

from models.errors import StreamError
from models.spec import Model

NEURAL_TYPES = ("EEG", "sEEG", "iEEG", "ECoG")
_FORMATS = {
    pylsl.cf_float32: "float32",
    pylsl.cf_double64: "float64",
    pylsl.cf_int8: "int8",
    pylsl.cf_int16: "int16",
    pylsl.cf_int32: "int32",
    pylsl.cf_int64: "int64",
    pylsl.cf_string: "string",
}
_POLL_S = 0.005
# Before 1.18 liblsl finds only one of several streams of this machine when multicast is
# unavailable (liblsl issues 92 and 207).
_FINDS_ALL_LOCAL = 118


class StreamQuery(Model):
    """Which LSL stream to take.

    Every field given must agree: `source_id` and `name` exactly, `type` in any case. With none
    given, a stream of type EEG, sEEG, iEEG or ECoG will do, provided there is only one.
    """

    source_id: str | None = Field(default=None, min_length=1, description="exactly; none takes any")
    name: str | None = Field(default=None, min_length=1, description="exactly; none takes any")
    type: str | None = Field(
        default=None, min_length=1, description="in any case; none takes EEG, sEEG, iEEG or ECoG"
    )
    timeout_s: float = Field(
        default=5.0, gt=0, description="how long to wait for it, and then for its first sample"
    )
    settle_s: float = Field(
        default=0.75,
        ge=0,
        description="without a source id, how long to listen for a second match; "
        "answers come in waves of 0.5 s where multicast is unavailable",
    )
    give_up_s: float | None = Field(
        default=None,
        gt=0,
        description="end the run if a stream that went away is not back within this, seconds; "
        "none looks for it for ever",
    )

    def matches(self, info: pylsl.StreamInfo) -> bool:
        """Whether a stream is one that was asked for."""
        return (
            self.source_id in (None, info.source_id())
            and self.name in (None, info.name())
            and self._takes_type(info.type())
        )

    def _takes_type(self, found: str) -> bool:
        if self.type is None and (self.source_id or self.name):
            return True
        wanted = NEURAL_TYPES if self.type is None else (self.type,)
        return found.casefold() in {text.casefold() for text in wanted}

    def __str__(self) -> str:
        given = {"source_id": self.source_id, "name": self.name, "type": self.type}
        named = [f"{key} {text!r}" for key, text in given.items() if text is not None]
        return ", ".join(named) or f"type {' or '.join(NEURAL_TYPES)}"


@dataclass(frozen=True)
class StreamDescription:
    """What a stream says about itself.

    `labels`, `units` and `types` have one entry per channel, empty where the stream is silent.
    `rate` is in Hz, 0 for an irregular stream; `dtype` is a NumPy name, or `string`.
    """

    name: str
    type: str
    source_id: str
    uid: str
    hostname: str
    rate: Fraction
    dtype: str
    channels: int
    labels: tuple[str, ...]
    units: tuple[str, ...]
    types: tuple[str, ...]
    manufacturer: str


def resolve_one(query: StreamQuery) -> pylsl.StreamInfo:
    """Find the one stream that matches; its description is not yet filled in.

    With a source id it returns as soon as the stream answers; otherwise it listens for
    `settle_s` before it takes an only match.

    Raises
    ------
    StreamError
        If no stream matches within `timeout_s`, or several do; lists what was found.
    """
    patience_s = 0.0 if query.source_id else query.settle_s

    def enough(seen: Sequence[pylsl.StreamInfo], waited_s: float) -> bool:
        return sum(map(query.matches, seen)) > (0 if waited_s >= patience_s else 1)

    found = _listen(query.timeout_s, enough)
    matching = [info for info in found if query.matches(info)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise StreamError(
            f"{len(matching)} LSL streams match {query}: {_listed(matching)}",
            "one",
            "choose it by source_id, or by name and type",
        )
    raise StreamError(
        f"no LSL stream with {query} within {query.timeout_s:g} s; found {_listed(found)}",
        "",
        "start the amplifier's stream, or choose one of those found by its source_id"
        + _old_liblsl(),
    )


def list_streams(timeout_s: float = 2.0) -> list[pylsl.StreamInfo]:
    """Every stream that answers within `timeout_s`, by name and source id, not yet described."""
    found = _listen(timeout_s, lambda seen, s: False)
    return sorted(found, key=lambda info: (info.name(), info.source_id(), info.uid()))


def read_info(info: pylsl.StreamInfo, timeout_s: float) -> pylsl.StreamInfo | None:
    """Ask a stream for its full description; None if it does not answer within `timeout_s`."""
    try:
        return pylsl.StreamInlet(info, 1, 0, recover=False).info(timeout_s)
    except (LslTimeoutError, LostError):
        return None


def rate_of(hz: float) -> Fraction:
    """Return the simple fraction that LSL's nominal rate stands for; 0 for an irregular stream.

    LSL carries the rate as text of 16 digits, so 390625/384 Hz comes back one bit off.
    """
    return Fraction(hz).limit_denominator(1_000_000)


def describe(info: pylsl.StreamInfo) -> StreamDescription:
    """Read a stream's description; `info` must come from `inlet.info()`, not from a search."""
    desc = info.desc()
    labels, units, types = _read_channels(desc, info.channel_count())
    maker = desc.child("acquisition").child_value("manufacturer")
    return StreamDescription(
        name=info.name(),
        type=info.type(),
        source_id=info.source_id(),
        uid=info.uid(),
        hostname=info.hostname(),
        rate=rate_of(info.nominal_srate()),
        dtype=_FORMATS.get(info.channel_format(), "undefined"),
        channels=info.channel_count(),
        labels=labels,
        units=units,
        types=types,
        # Micromed's driver writes it at the root.
        manufacturer=maker or desc.child_value("manufacturer"),
    )


def write_description(
    info: pylsl.StreamInfo,
    labels: Sequence[str],
    unit: str,
    types: str,
    manufacturer: str = "",
) -> None:
    """Write labels, one unit and one type for all channels into an outlet's info.

    Raises
    ------
    ValueError
        If there is not one label per channel.
    """
    if len(labels) != info.channel_count():
        raise ValueError(f"{len(labels)} labels for {info.channel_count()} channels")
    channels = info.desc().append_child("channels")
    for label in labels:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("unit", unit)
        channel.append_child_value("type", types)
    if manufacturer:
        info.desc().append_child("acquisition").append_child_value("manufacturer", manufacturer)


def one_line(info: pylsl.StreamInfo) -> str:
    """Return name, type, channels, rate, source id and host of a stream, for a message."""
    return (
        f"'{info.name()}' (type {info.type() or 'none'}, {info.channel_count()} channels, "
        f"{info.nominal_srate():g} Hz, source_id {info.source_id() or 'none'}, "
        f"host {info.hostname()})"
    )


def _listen(
    timeout_s: float, enough: Callable[[list[pylsl.StreamInfo], float], bool]
) -> list[pylsl.StreamInfo]:
    # One resolver for everything: predicates cannot hold quotes, and what else there is
    # belongs into the error message.
    resolver = pylsl.ContinuousResolver()
    start = time.monotonic()
    while True:
        waited_s = time.monotonic() - start
        found: list[pylsl.StreamInfo] = resolver.results()
        if waited_s >= timeout_s or enough(found, waited_s):
            return found
        time.sleep(_POLL_S)


def _listed(found: Sequence[pylsl.StreamInfo], most: int = 8) -> str:
    shown = " | ".join(one_line(info) for info in found[:most])
    more = f" | and {len(found) - most} more" if len(found) > most else ""
    return (shown or "no stream at all") + more


def _old_liblsl() -> str:
    version = pylsl.library_version()
    if version >= _FINDS_ALL_LOCAL:
        return ""
    return f" (liblsl {version / 100:.2f} overlooks streams of this machine: pip install -U pylsl)"


def _read_channels(
    desc: pylsl.info.XMLElement, count: int
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    rows: list[list[str]] = []
    channel = desc.child("channels").child("channel")
    # Not `get_channel_labels`: it prints to standard output when the count is off.
    while not channel.empty() and len(rows) < count:
        rows.append([channel.child_value(key).strip() for key in ("label", "unit", "type")])
        channel = channel.next_sibling("channel")
    rows += [["", "", ""]] * (count - len(rows))
    labels, units, types = zip(*rows, strict=True)
    return labels, units, types
