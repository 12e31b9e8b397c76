"""Hops, some hundreds at a time: what is written and compared at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.mel import BANDS, VOCODER_HOP
from models.streaming import Floats
from realtime.pipeline import Hop
from realtime.record.layout import HOP, mask_bytes

SIZE = 512
_STAGES = ("started", "front_end", "encoder", "decoder", "vocoder", "limiter", "handed_over")
_NOT_LIVE = {**dict.fromkeys(_STAGES, float("nan")), "clock_offset": 0.0, "late": False}
"""What only a run in real time has; here nothing is timed."""
_NAMES = HOP.names or ()


class Batch:
    """Room for `SIZE` hops, filled one by one.

    `rows` are of dtype `HOP`, times that only a live run has NaN; `mel` `(n, 80)`, `audio`
    `(n, 240)`, `mask` `(n, ceil(contacts / 8))` packed as in the record.
    """

    def __init__(self, contacts: int) -> None:
        self._rows = np.zeros(SIZE, HOP)
        self.mel: Floats = np.zeros((0, BANDS), np.float32)
        """Mel frames."""
        self.audio: Floats = np.zeros((0, VOCODER_HOP), np.float32)
        """Audio."""
        self._mask = np.zeros((SIZE, mask_bytes(contacts)), np.uint8)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        """Whether there is room for none."""
        return self._count == SIZE

    @property
    def rows(self) -> NDArray[np.void]:
        """Stamps and counts."""
        return self._rows[: self._count]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Masked contacts, packed."""
        return self._mask[: self._count]

    def add(self, hop: Hop) -> None:
        """Copy one hop, but for its mel and its audio."""
        at = self._count
        self._rows[at] = tuple(
            _NOT_LIVE[name] if name in _NOT_LIVE else getattr(hop, name) for name in _NAMES
        )
        self._mask[at] = np.packbits(hop.mask)
        self._count += 1

    def complete(self, mel: Floats, audio: Floats) -> None:
        """Mel and audio of all its hops, in order."""
        assert len(mel) == len(audio) == self._count
        self.mel, self.audio = mel, audio

    def clear(self) -> None:
        """Make room."""
        self._count = 0
