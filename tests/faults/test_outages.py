"""An outlet that goes away and comes back: as it was, under another name, with another montage."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.policy import (
    check_clean_edges,
    check_delay,
    check_fault_free,
    check_resumed,
    silence_for,
)
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

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

# Each that may not be taken is followed by one that may.
PLAN: list[dict[str, Any]] = [
    {"kind": "loss", "at_s": 4.0, "seconds": 0.3},
    {"kind": "loss", "at_s": 7.0, "seconds": 3.0},
    {"kind": "loss", "at_s": 13.0, "seconds": 2.0, "source_id": "somebody-else"},
    {"kind": "loss", "at_s": 18.0, "seconds": 1.0, "reverse": True},
    {"kind": "loss", "at_s": 22.0, "seconds": 1.0, "rename": {"LA3": "X9"}},
    {"kind": "loss", "at_s": 26.0, "seconds": 1.0, "drop": ["RC10"]},
    {"kind": "loss", "at_s": 30.0, "seconds": 1.0, "fs_hz": 2048},
    {"kind": "loss", "at_s": 34.0, "seconds": 1.0},
]
SECONDS = 38.5
GOOD = {0: "0.3 s", 1: "3 s", 2: "another source id", 3: "reordered", 7: "right at last"}
BAD = {4: "LA3", 5: "RC10", 6: "2048"}


def returned(outcome: Outcome, number: int) -> float:
    fault = outcome.injected[number]
    return float(fault["time"] + fault["detail"]["seconds"])


def test_a_fault_free_stretch_sounds(outcome: Outcome) -> None:
    check_fault_free(outcome)


@pytest.mark.parametrize("number", [0, 1, 2, 3], ids=list(GOOD.values())[:4])
def test_it_is_silent_while_gone_and_resumes_within_a_second(outcome: Outcome, number: int) -> None:
    gone, back = outcome.injected[number]["time"], returned(outcome, number)
    span = silence_for(outcome, gone)
    assert span.end > back
    check_resumed(span, back)
    check_clean_edges(outcome, gone - 0.2, back + 1.5)
    check_delay(outcome, back + 1.0, back + 1.9)
    assert outcome.told("lost", gone, back)
    assert outcome.told("connected", back, back + 1.0)


@pytest.mark.parametrize("number", list(BAD), ids=["renamed", "one fewer", "another rate"])
def test_another_montage_or_rate_stays_muted_and_says_why(outcome: Outcome, number: int) -> None:
    gone, back = outcome.injected[number]["time"], returned(outcome, number)
    until = outcome.injected[number + 1]["time"]
    refused = outcome.told("refused", back, until)
    assert refused
    assert BAD[number] in refused[0]["why"]
    # Told once, not with every look at it.
    assert len(outcome.told("muted", back, until)) <= 3
    # Silent since the fault before last that was no good, or since this one.
    (span,) = (s for s in outcome.heard.silences(0.1) if s.start < gone + 0.3 and s.end > back)
    assert span.end > until
    came = outcome.hops["available"]
    assert not ((came > back) & (came < until)).any()


def test_the_right_one_is_taken_after_three_wrong_ones(outcome: Outcome) -> None:
    back = returned(outcome, 7)
    (span,) = (s for s in outcome.heard.silences(0.1) if s.start < back < s.end)
    check_resumed(span, back)
    check_delay(outcome, back + 1.0, back + 1.9)


def test_an_amplifier_that_is_killed_and_started_again(
    sounding_bundle: Path, pulse: SoundServer, tmp_path: Path
) -> None:
    """No farewell: its process is gone at once, and another appears with the same source id."""
    with recorder(pulse) as capture, amplifier(tmp_path, []) as amp:
        chosen = session_settings(pulse, amp)
        with live(sounding_bundle, tmp_path, pulse.env, **chosen) as running:
            decoding = running.wait_for("decoding")
            run_until(running, decoding + 3.0)
            amp.process.send_signal(signal.SIGKILL)
            gone = now()
            time.sleep(1.5)
            with amplifier(tmp_path, [], source_id=amp.source_id, wait=False):
                back = now()
                run_until(running, back + 3.0)
                assert running.stop() == 0
        outcome = outcome_of(running, amp, capture.heard())
    outcome.injected.append({"time": gone, "kind": "killed", "detail": {}})
    span = silence_for(outcome, gone)
    check_resumed(span, back)
    check_clean_edges(outcome, gone - 0.2, back + 1.5)
    check_delay(outcome, back + 1.0, back + 2.0)
