"""Transport: from the outlet's note to the receiver's, pull by pull."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle import load_bundle
from tools.bench.transport import by_turn, measure


def test_a_packet_is_there_with_its_last_sample() -> None:
    """Packet 1 comes in two pulls, 2 and 3 in one; what the first pull brought is not counted."""
    last = 1 + 0.016 * np.arange(1, 8)
    sent = np.stack([last, last + 0.0001], axis=1)
    pulls = [
        (0, last[0], last[0] + 0.0004),
        (0, last[1] - 0.004, last[1] + 0.0003),
        (0, last[1], last[1] + 0.0006),
        (0, last[3], last[3] + 0.0011),
        (1, last[4], last[4] + 9.0),
        (1, last[5], last[5] + 0.0021),
    ]
    first, second = by_turn(np.array(pulls), sent)
    assert first == pytest.approx([0.5, 16 + 1.0, 1.0])
    assert second == pytest.approx([2.0])


@pytest.mark.lsl
def test_every_receiver_gets_the_stream(tiny_bundle: Path) -> None:
    figures = measure(load_bundle(tiny_bundle), burst=16, rounds=1, turn_s=1.0)
    assert {"burst_16.seegvox", "burst_16.poll", "burst_16.hop"} <= set(figures)
    for name, figure in figures.items():
        (values,) = figure.rounds
        # 64 packets a second; a slow machine may be late, but not before the push.
        assert len(values) > 20, name
        assert np.nanmin(values) > 0, name
        assert np.nanmedian(values) < 200, name
