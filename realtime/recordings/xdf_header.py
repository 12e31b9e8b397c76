"""What a stream of an XDF file says about itself (XDF wiki: Meta Data, EEG Meta Data)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree

from realtime.recordings.xdf_chunks import DamagedChunkError

FORMATS = {
    "float32": "<f4",
    "double64": "<f8",
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
}
STRING = "string"
_MOST_CHANNELS = 1 << 20


@dataclass(frozen=True)
class XdfHeader:
    """Header of one stream.

    Parameters
    ----------
    id : number of the stream in the file.
    name, type, source_id, uid, hostname : as the sender gave them; empty where it did not.
    format : `float32`, `double64`, `int8`, `int16`, `int32`, `int64` or `string`.
    channels : how many.
    rate : nominal rate in Hz; 0 for an irregular stream.
    labels, units, types : one per channel, empty where the header is silent.
    xml : the whole header.
    """

    id: int
    name: str
    type: str
    source_id: str
    uid: str
    hostname: str
    format: str
    channels: int
    rate: float
    labels: tuple[str, ...]
    units: tuple[str, ...]
    types: tuple[str, ...]
    xml: str

    def __str__(self) -> str:
        return (
            f"'{self.name}' (id {self.id}, type {self.type or 'none'}, "
            f"{self.channels} x {self.format}, {self.rate:g} Hz)"
        )


def read_header(stream: int, raw: bytes) -> XdfHeader:
    """Read a stream header.

    Raises
    ------
    DamagedChunkError
        If it is not XML or does not say how samples are stored.
    """
    xml, info = read_xml(raw)
    layout, channels = _text(info, "channel_format"), _number(info, "channel_count")
    rate = _number(info, "nominal_srate")
    if layout not in FORMATS and layout != STRING:
        raise DamagedChunkError(f"stream {stream} has samples of the unknown format {layout!r}")
    if not 1 <= channels <= _MOST_CHANNELS or channels != int(channels):
        raise DamagedChunkError(f"stream {stream} has {channels:g} channels")
    if not 0 <= rate < math.inf:
        raise DamagedChunkError(f"stream {stream} has a rate of {rate:g} Hz")
    rows = _channels(info, int(channels))
    return XdfHeader(
        id=stream,
        name=_text(info, "name"),
        type=_text(info, "type"),
        source_id=_text(info, "source_id"),
        uid=_text(info, "uid"),
        hostname=_text(info, "hostname"),
        format=layout,
        channels=int(channels),
        rate=rate,
        labels=tuple(row[0] for row in rows),
        units=tuple(row[1] for row in rows),
        types=tuple(row[2] for row in rows),
        xml=xml,
    )


def read_xml(raw: bytes) -> tuple[str, ElementTree.Element]:
    """Text and root of an XML chunk.

    Raises
    ------
    DamagedChunkError
        If it is not XML.
    """
    text = raw.decode("utf-8", "replace").strip("\0 \r\n\t")
    try:
        return text, ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as err:
        raise DamagedChunkError(f"a description is not XML ({err})") from err


def _text(info: ElementTree.Element, key: str) -> str:
    return (info.findtext(key) or "").strip()


def _number(info: ElementTree.Element, key: str) -> float:
    try:
        return float(_text(info, key))
    except ValueError:
        raise DamagedChunkError(f"a stream header has {key} {_text(info, key)!r}") from None


def _channels(info: ElementTree.Element, count: int) -> list[tuple[str, str, str]]:
    rows = [
        (_text(row, "label"), _text(row, "unit"), _text(row, "type"))
        for row in info.findall("desc/channels/channel")[:count]
    ]
    return rows + [("", "", "")] * (count - len(rows))
