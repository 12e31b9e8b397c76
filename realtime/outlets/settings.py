"""Which outlets there are, and what they are called."""

from __future__ import annotations

import socket
from typing import Literal

from pydantic import Field

from models.spec import Model

Kind = Literal["mel", "audio", "telemetry", "events"]
KINDS: tuple[Kind, ...] = ("mel", "audio", "telemetry", "events")


class OutletSettings(Model):
    """LSL outlets of a session.

    On by default: a recording that nobody thought of cannot be made afterwards, and the amplifier's
    stream, on the same network, holds more of the patient than these do.
    """

    streams: tuple[Kind, ...] = Field(
        KINDS, description="which of mel, audio, telemetry, events are sent; [] sends nothing"
    )
    name: str = Field(
        "seegvox",
        min_length=1,
        max_length=100,
        # Other programs put names and source ids into XPath queries, between quotes.
        pattern=r"^[^'\"<>&\x00-\x1f]+$",
        description="streams are called NAME-mel, NAME-audio...; one for each session of a host",
    )

    def stream_name(self, kind: Kind) -> str:
        """Name of one stream."""
        return f"{self.name}-{kind}"

    def source_id(self, kind: Kind) -> str:
        """Source id of one stream: the same in every session of this host and name."""
        return f"{self.name}-{socket.gethostname()}-{kind}"

    @property
    def source_ids(self) -> frozenset[str]:
        """Source ids of all streams of such a session, whether they are sent or not."""
        return frozenset(map(self.source_id, KINDS))
