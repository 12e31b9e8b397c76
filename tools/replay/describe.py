"""What an outlet says of itself: a description as XML, and as liblsl wants it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from tools.replay.streams import About


def description(
    labels: Sequence[str], units: Sequence[str], types: Sequence[str], maker: str = ""
) -> Element:
    """An element `desc` in the words of the XDF wiki, for files that have none of their own."""
    desc = Element("desc")
    channels = SubElement(desc, "channels")
    for label, unit, kind in zip(labels, units, types, strict=True):
        channel = SubElement(channels, "channel")
        for key, value in (("label", label), ("unit", unit), ("type", kind)):
            if value:
                SubElement(channel, key).text = value
    if maker:
        SubElement(SubElement(desc, "acquisition"), "manufacturer").text = maker
    return desc


def with_unit(about: About, unit: str) -> About:
    """The same stream, all channels in another unit."""
    desc = deepcopy(about.desc)
    for channel in _channels(desc, about.channels):
        _set(channel, "unit", unit)
    return replace(about, desc=desc)


def with_columns(
    about: About, columns: Sequence[int], labels: Sequence[str], rate_hz: float, source_id: str
) -> About:
    """The same stream with some of its channels, called otherwise, as an outlet that returns."""
    desc = deepcopy(about.desc)
    rows = _channels(desc, about.channels)
    parent = desc.find("channels")
    assert parent is not None
    for row in rows:
        parent.remove(row)
    for column, label in zip(columns, labels, strict=True):
        _set(rows[column], "label", label)
        parent.append(rows[column])
    return replace(about, channels=len(labels), rate_hz=rate_hz, source_id=source_id, desc=desc)


def info_of(about: About, file: str, speed: float) -> Any:
    """A `pylsl.StreamInfo` that says all that the recorded stream said, and that it is a replay.

    Its nominal rate is that of what it sends: `speed` times the recorded one.
    """
    import pylsl

    info = pylsl.StreamInfo(
        about.name,
        about.type,
        about.channels,
        about.rate_hz * speed,
        about.format,
        about.source_id,
    )
    _copy(about.desc, info.desc())
    replayed = info.desc().append_child("replay")
    replayed.append_child_value("file", file)
    replayed.append_child_value("speed", f"{speed:g}")
    return info


def _copy(source: Element, sink: Any) -> None:
    for child in source:
        if len(child):
            _copy(child, sink.append_child(child.tag))
        else:
            sink.append_child_value(child.tag, (child.text or "").strip())


def _channels(desc: Element, count: int) -> list[Element]:
    parent = desc.find("channels")
    if parent is None:
        parent = SubElement(desc, "channels")
    rows = parent.findall("channel")
    return rows + [SubElement(parent, "channel") for _ in range(count - len(rows))]


def _set(channel: Element, key: str, value: str) -> None:
    found = channel.find(key)
    if found is None:
        found = SubElement(channel, key)
    found.text = value
