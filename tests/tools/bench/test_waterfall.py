"""Pieces of a hop's time: they sum to the whole, each from the stamps that it says."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.record.layout import HOP
from tools.bench.parts import Piece, algorithmic, in_process, told
from tools.bench.waterfall import (
    PIECES,
    STAMPS,
    mean_pieces,
    one_hop,
    pieces_ms,
    stamps_of,
)

HOPS = 50


def made_up() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hops of a run, the outlet's log in packets of 16 at 1024 Hz, and when each was heard."""
    rng = np.random.default_rng(0)
    hops = np.zeros(HOPS, HOP)
    last = np.ceil((np.arange(HOPS) + 1) * 15.36) - 1
    hops["lsl_time"] = 100 + (last + 1) / 1024
    packet = last // 16
    packets = np.arange(packet.max() + 1)
    sent = np.stack([100 + (packets + 1) * 16 / 1024, 100 + (packets + 1) * 16 / 1024 + 0.0002], 1)
    at = sent[packet.astype(int), 1]
    for name in STAMPS[2:-1]:
        at = at + rng.uniform(0.0001, 0.001, HOPS)
        hops[name] = at
    return hops, sent, at + 0.04


def test_the_pieces_sum_to_the_end_to_end() -> None:
    hops, sent, heard = made_up()
    pieces = pieces_ms(stamps_of(hops, sent, heard))
    assert list(pieces) == [name for name, _, _ in PIECES.values()]
    total = np.sum(list(pieces.values()), axis=0)
    assert total == pytest.approx(1e3 * (heard - hops["lsl_time"]), abs=1e-6)
    means = mean_pieces(pieces)
    assert sum(piece.ms for piece in means) == pytest.approx(total.mean())
    middle = one_hop(pieces)
    assert sum(middle["pieces_ms"].values()) == pytest.approx(middle["total_ms"], abs=1e-3)
    assert middle["total_ms"] == pytest.approx(np.median(total), abs=1.0)


def test_the_packet_is_that_of_the_last_sample() -> None:
    """Sample 15 ends hop 0 and packet 0: no wait but the push; hop 1's waits for packet 1's end."""
    hops, sent, heard = made_up()
    waited = pieces_ms(stamps_of(hops, sent, heard))["packet"]
    assert waited[0] == pytest.approx(0.2, abs=1e-6)
    assert waited[1] == pytest.approx(0.2 + 1e3 / 1024, abs=1e-6)
    assert waited.max() < 0.2 + 1e3 * 15 / 1024 + 1e-6


def test_what_was_not_heard_is_left_out_of_the_means() -> None:
    hops, sent, heard = made_up()
    heard[::2] = np.nan
    pieces = pieces_ms(stamps_of(hops, sent, heard))
    whole = np.sum(list(pieces.values()), axis=0)
    means = sum(piece.ms for piece in mean_pieces(pieces))
    assert means == pytest.approx(np.nanmean(whole))
    assert np.isfinite(pieces["decoder"]).all()


def test_what_would_remove_most_is_named() -> None:
    measured = [
        Piece("playout", 45.0, "buffer", "a smaller playout delay"),
        Piece("decoder", 0.7, "compute"),
        Piece("encoder", 0.9, "compute"),
    ]
    found = told(measured, algorithmic(9.5), "made up")
    assert found["total_ms"] == pytest.approx(45 + 1.6 + 9.5 + 7.5)
    assert found["by_part_ms"] == pytest.approx(
        {"algorithmic": 17.0, "buffer": 45.0, "compute": 1.6}
    )
    said = " ".join(found["says"])
    assert "Most would go with playout, 45.0 ms (71 %): a smaller playout delay" in said
    assert "Of 1.60 ms of compute most is encoder" in said


def test_a_hop_in_process_has_its_stages_as_pieces() -> None:
    figures = {
        "paced.hop_int8.encoder": {"p50_ms": 0.6},
        "paced.hop_int8.decoder": {"p50_ms": 0.7},
        "paced.hop_int8": {"p50_ms": 1.4},
        "back_to_back.hop_int8.encoder": {"p50_ms": 0.3},
    }
    path = in_process(figures, "hop_int8", 9.5)
    assert [piece["name"] for piece in path["measured"]] == ["encoder", "decoder"]
    assert path["by_part_ms"]["compute"] == pytest.approx(1.3)
