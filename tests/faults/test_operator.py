"""The operator's words: sound fades out and in within a hop, and what is told is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.faults.policy import CAPTURE_S, check_clean_edges, check_delay, check_sounding
from tests.faults.session import (
    Outcome,
    amplifier,
    live,
    now,
    outcome_of,
    recorder,
    run_until,
    session_settings,
)
from tests.sound_servers import SoundServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

# The pull that the loop may be in, a hop of fade, what the device holds, and its own packets.
OBEYED_S = 0.02 + 0.015 + 0.04 + CAPTURE_S


@dataclass
class Spoken:
    """A session that an operator spoke to, and the LSL times of the words."""

    outcome: Outcome
    muted: float
    unmuted: float
    quieter: float
    stopped: float


@pytest.fixture(scope="module")
def spoken(
    sounding_bundle: Path, pulse: SoundServer, tmp_path_factory: pytest.TempPathFactory
) -> Spoken:
    """Mute, unmute, gain, note and stop, some seconds apart."""
    folder = tmp_path_factory.mktemp("operator")
    with recorder(pulse) as capture, amplifier(folder, []) as amp:
        chosen = session_settings(pulse, amp)
        with live(sounding_bundle, folder, pulse.env, **chosen) as running:
            run_until(running, running.wait_for("decoding") + 3.0)
            muted = running.give("mute")
            run_until(running, muted + 1.0)
            unmuted = running.give("unmute")
            run_until(running, unmuted + 1.5)
            quieter = running.give("gain -12")
            running.give("note a word")
            run_until(running, quieter + 2.0)
            stopped = running.give("stop")
            assert running.process.wait(20) == 0
            run_until(running, now() + 0.3)
        outcome = outcome_of(running, amp, capture.heard())
    outcome.injected.append({"time": muted, "kind": "mute", "detail": {}})
    return Spoken(outcome, muted, unmuted, quieter, stopped)


def test_mute_and_unmute_are_heard_within_a_hop(spoken: Spoken) -> None:
    outcome, muted, unmuted = spoken.outcome, spoken.muted, spoken.unmuted
    spans = [s for s in outcome.heard.silences(0.1) if s.end > muted]
    print(f"mute {spans[0].start - muted:.3f} s, unmute {spans[0].end - unmuted:.3f} s")
    assert spans[0].start - muted < OBEYED_S
    assert unmuted < spans[0].end < unmuted + OBEYED_S
    # Then nothing until the end.
    assert len(spans) == 1 or spans[1].start > spoken.stopped
    check_clean_edges(outcome, muted - 0.5, spoken.stopped + 0.2)
    check_sounding(outcome, unmuted + 0.3, spoken.stopped - 0.1)
    check_delay(outcome, unmuted + 0.5, spoken.stopped - 0.2)
    # No hop is decoded otherwise for it.
    np.testing.assert_array_equal(np.diff(outcome.hops["index"]), 1)


def test_a_gain_of_minus_12_db_is_a_quarter_of_the_sound(spoken: Spoken) -> None:
    before, _ = spoken.outcome.taken(spoken.unmuted + 0.3, spoken.quieter)
    after, _ = spoken.outcome.taken(spoken.quieter + 0.5, spoken.stopped)
    # The limiter, at work before, gives back what it took: 1.5 dB.
    assert 20 * np.log10(np.std(after) / np.std(before)) == pytest.approx(-12, abs=1.5)


def test_every_word_is_in_the_record_and_stop_closes_it(spoken: Spoken) -> None:
    words = ("mute", "unmute", "gain", "note", "stop")
    told = [event["event"] for event in spoken.outcome.events]
    assert tuple(kind for kind in told if kind in words) == words
    (note,) = spoken.outcome.told("note", spoken.quieter, spoken.stopped)
    assert note["text"] == "a word"
    assert told[-1] == "stopped"
