"""A live run with faults in it, over real LSL, decoded again from its record: the same bits."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from realtime.pipeline import Hop
from realtime.record.nwb import export_nwb
from realtime.record.reading import read_run
from realtime.redecode import Request, decode
from realtime.service import Service
from tests.bundles import TINY_CONTACTS, noise_uv
from tests.realtime.test_service import settings
from tools.amplifier import save_array, spawn_amplifier

pytestmark = pytest.mark.lsl
SECONDS = 9.0
# A contact that is no number, 30 ms bridged, 200 ms not, packets twice, a stream that goes away.
FAULTS = """
packet = 24
[[faults]]
kind = "nan"
at_s = 2.0
seconds = 0.3
contacts = ["RB2"]
[[faults]]
kind = "gap"
at_s = 3.0
ms = 30.0
[[faults]]
kind = "gap"
at_s = 4.0
ms = 200.0
[[faults]]
kind = "duplicate"
at_s = 4.9
samples = 24
[[faults]]
kind = "loss"
at_s = 5.5
seconds = 0.8
"""
GAINS = {120: "gain -9", 225: "gain 3"}


@pytest.fixture(scope="module")
def run(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, source_id = tmp_path_factory.mktemp("again"), uuid4().hex
    path = folder / "amp.npy"
    save_array(path, noise_uv(SECONDS + 8), Fraction(1024), list(TINY_CONTACTS))
    (folder / "faults.toml").write_text(FAULTS)
    service = Service(settings(tiny_bundle, folder, source_id, seconds=SECONDS))

    def turn(hop: Hop, *_: object) -> None:
        if hop.index in GAINS:
            service.operator.give(GAINS[hop.index])

    service.on_hop(turn)
    options = ("--source-id", source_id, "--inject", str(folder / "faults.toml"), "--wait")
    with spawn_amplifier(path, *options):
        service.run()
    return folder / "run"


def test_every_fault_is_in_the_record(run: Path) -> None:
    recorded = read_run(run)
    told = [event["event"] for event in recorded.events]
    assert {"bridged", "gap", "cold start", "duplicates dropped", "connected"} <= set(told)
    assert told.count("cold start") >= 2
    assert recorded.hops["bridged"].sum() >= 30
    assert recorded.mask[:, TINY_CONTACTS.index("RB2")].any()
    assert set(recorded.blocks["stream"]) == {0, 1}
    assert set(recorded.blocks["gain_db"]) == {0.0, -9.0, 3.0}


def test_a_session_decoded_again_gives_the_same_bits(run: Path, tmp_path: Path) -> None:
    summary = decode(Request(run, tmp_path / "again"))
    assert summary["comparison"]["differing"] == {}
    assert summary["identical"] is True
    assert summary["changed"] == []
    assert summary["versions_differ"] == {}
    before, after = read_run(run), read_run(tmp_path / "again")
    assert after.mel.tobytes() == before.mel.tobytes()
    assert after.audio.tobytes() == before.audio.tobytes()
    assert np.array_equal(after.mask, before.mask)
    assert np.array_equal(after.hops["index"], before.hops["index"])
    for name in ("lost_samples", "bridged_samples", "duplicate_samples", "cold_starts"):
        assert summary[name] == before.about[name] > 0


def test_another_gain_would_have_been_noticed(run: Path, tmp_path: Path) -> None:
    """The audio of the same mel without the operator: what the test above is able to see."""
    masked = decode(Request(run, tmp_path / "masked", mask=("LA1",)))
    assert masked["identical"] is None
    assert masked["changed"] == ["mask"]
    assert masked["comparison"]["differing"]["mel"] > 100
    nwb = export_nwb(run, tmp_path / "session.nwb")
    bundle = Path(read_run(run).about["settings"]["bundle"])
    summary = decode(Request(nwb, tmp_path / "nwb", bundle=bundle))
    before, after = read_run(run), read_run(tmp_path / "nwb")
    # Until the first gap the samples are the same, whatever the packets were.
    first = int(3.0 / 0.015) - 1
    assert np.array_equal(after.mel[:first], before.mel[:first])
    assert not np.array_equal(after.audio[: first * 240], before.audio[: first * 240])
    assert summary["cold_starts"] >= 1
