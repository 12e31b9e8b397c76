"""What is recorded is all that mel and audio follow from: a session with faults, decoded again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from models.bundle import load_bundle
from realtime import parts
from realtime.inlet import Block
from realtime.pipeline import Hop, Pipeline
from realtime.record.reading import Run, read_run
from realtime.service import Service
from realtime.settings import LiveSettings
from tests.bundles import TINY_CONTACTS, noise_uv
from tests.realtime.test_service import settings
from tools.amplifier import save_array, spawn_amplifier

pytestmark = pytest.mark.lsl

SECONDS = 7.0
FAULTS = """
[[faults]]
kind = "gap"
at_s = 2.0
ms = 49.0
[[faults]]
kind = "nan"
at_s = 2.5
seconds = 0.2
share = 0.2
[[faults]]
kind = "gap"
at_s = 3.0
ms = 500.0
[[faults]]
kind = "loss"
at_s = 5.0
seconds = 0.6
reverse = true
"""
# The operator's words, each given when a hop is handed over: two at once too, and one in the cold.
WORDS = {70: ("gain -6",), 90: ("gain 2", "gain 7.5"), 110: ("mute",), 130: ("gain 7.5", "unmute")}
WORDS |= {195: ("gain -3",), 300: ("gain 0", "gain -3"), 331: ("gain 1.5",)}


@pytest.fixture(scope="module")
def run(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A session of seven seconds in which a lot happens."""
    folder, name = tmp_path_factory.mktemp("again"), f"amp-{uuid4().hex}"
    save_array(folder / "amp.npy", noise_uv(SECONDS + 6), Fraction(1024), list(TINY_CONTACTS))
    (folder / "faults.toml").write_text(FAULTS)
    chosen: dict[str, Any] = {"stream": {"name": name, "timeout_s": 10}, "seconds": SECONDS}
    service = Service(settings(tiny_bundle, folder, "", **chosen))
    waiting = dict(WORDS)

    def speak(hop: Hop, *_: object) -> None:
        for index in [index for index in waiting if index <= hop.index]:
            for word in waiting.pop(index):
                service.operator.give(word)

    service.on_hop(speak)
    options = ["--name", name, "--source-id", uuid4().hex, "--wait"]
    with spawn_amplifier(folder / "amp.npy", *options, "--inject", str(folder / "faults.toml")):
        service.run()
    return read_run(folder / "run")


def decoded_again(run: Run, bundle_path: Path) -> Iterator[Hop]:
    """The hops of a session, from its record alone."""
    chosen, bundle = LiveSettings.model_validate(run.about["settings"]), load_bundle(bundle_path)
    pipeline = Pipeline.from_bundle(bundle, chosen.vocoder, chosen.limiter)
    given_up = run.about["given_up_contacts"]
    core = parts.new_core(bundle.spec, chosen, pipeline, given_up, lambda event: None)
    stream = 0
    for row in run.blocks:
        now = float(row["available"])
        if row["stream"] != stream:
            stream = row["stream"]
            core.connected(now)
        pipeline.limiter.amplify(float(row["gain_db"]))
        if row["count"] == 0:
            core.silence(now)
            continue
        part = slice(row["row"], row["row"] + row["count"])
        yield from core.feed(Block(run.samples[part], run.timestamps[part], now))


def test_a_lot_happened(run: Run) -> None:
    told = [event["event"] for event in run.events]
    assert {"bridged", "gap", "cold start", "masks", "lost", "connected", "muted"} <= set(told)
    assert set(run.blocks["stream"]) == {0, 1}
    assert set(run.blocks["gain_db"]) == {0.0, -6.0, 7.5, -3.0, 1.5}
    assert run.hops["masked"].max() > 0 and run.hops["bridged"].sum() == 50


def test_the_record_decodes_to_the_very_same_mel_and_audio(run: Run, tiny_bundle: Path) -> None:
    again = {
        hop.index: (hop.mel.tobytes(), hop.audio.tobytes(), hop.bridged, hop.due, hop.masked)
        for hop in decoded_again(run, tiny_bundle)
    }
    audio = run.audio.reshape(len(run.hops), -1)
    recorded = {
        int(hop["index"]): (
            *(run.mel[k].tobytes(), audio[k].tobytes()),
            *(int(hop["bridged"]), float(hop["due"]), int(hop["masked"])),
        )
        for k, hop in enumerate(run.hops)
    }
    # The last block may have more hops than were asked for.
    assert {index: again[index] for index in recorded} == recorded
    assert np.abs(run.audio).max() > 0.01


def test_a_gain_event_says_from_which_hop_on(run: Run) -> None:
    told = [(event["gain_db"], event["hop"]) for event in run.events if event["event"] == "gain"]
    assert [gain_db for gain_db, _ in told] == [-6, 2, 7.5, 7.5, -3, 0, -3, 1.5]
    # A burst of 16 samples completes two hops at most before the next word is heard.
    for (_, hop), index in zip(told[:3], (70, 90, 90), strict=True):
        assert index < hop <= index + 3
