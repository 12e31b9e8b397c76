"""Transport: from the outlet's note to the receiver's, pull by pull."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle import load_bundle
from tools.bench.transport import by_turn, measure


def test_a_pull_is_set_against_the_packet_of_its_newest_sample() -> None:
    sent = np.array([[1.016, 1.0161], [1.032, 1.0322], [1.048, 1.0483]])
    # A pull may bring part of a packet: its newest sample lies within it.
    log = np.array([[0, 1.016, 1.0165], [0, 1.020, 1.0330], [1, 1.048, 1.0500], [1, 9.0, 9.1]])
    first, second = by_turn(log, sent)
    assert first == pytest.approx([0.4, 0.8])
    assert second[0] == pytest.approx(1.7)
    # Of a packet that the outlet did not note, nothing is known.
    assert np.isnan(second[1])


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
