"""What travels between the stages of an injection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tools.faults.source import Times


@dataclass(frozen=True)
class Injected:
    """One fault that was injected: seconds from the source's first sample, kind, parameters."""

    time: float
    kind: str
    detail: dict[str, Any]


@dataclass
class Packet:
    """Samples that are sent together.

    `samples` `(n, channels)`; `times` `(n,)` when they were taken, by the source;
    `stamps` `(n,)` what their timestamps will say; `due` when they are sent, both in seconds of
    true time from the start.
    """

    samples: Any
    times: Times
    stamps: Times
    due: float


Packets = Iterator[Packet]
Note = Callable[[Injected], None]
