"""The sound server killed and started again, PulseAudio and JACK: decoding goes on meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.faults.policy import check_delay, check_sounding
from tests.faults.session import (
    amplifier,
    live,
    now,
    outcome_of,
    recorder,
    run_until,
    session_settings,
)
from tests.faults.sound import largest_step, repeats, silent_runs, step_bound
from tests.sound_servers import SoundServer, jack_dummy, pulse_null

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

# The service looks for sound once a second, and a server takes its time to be there.
AWAY_S, BACK_S = 3.0, 6.0


@pytest.fixture
def own_pulse(tmp_path: Path) -> Iterator[SoundServer]:
    with pulse_null(tmp_path) as running:
        yield running


@pytest.fixture
def jack(tmp_path: Path) -> Iterator[SoundServer]:
    with jack_dummy(tmp_path) as running:
        yield running


def check_decoding_went_on(hops: np.ndarray, start: float, end: float) -> None:
    """Not one hop is missing while there was no sound."""
    np.testing.assert_array_equal(np.diff(hops["index"]), 1)
    np.testing.assert_array_equal(hops["first_sample"][1:], hops["last_sample"][:-1] + 1)
    during = (hops["available"] > start) & (hops["available"] < end)
    assert during.sum() == pytest.approx((end - start) / 0.015, abs=4)


def test_pulseaudio_dies_and_returns(
    sounding_bundle: Path, own_pulse: SoundServer, tmp_path: Path
) -> None:
    with amplifier(tmp_path, []) as amp:
        with recorder(own_pulse) as capture:
            chosen = session_settings(own_pulse, amp)
            with live(sounding_bundle, tmp_path, own_pulse.env, **chosen) as running:
                decoding = running.wait_for("decoding")
                run_until(running, decoding + 3.0)
                died = now()
                own_pulse.kill()
                lost = running.wait_for("sound lost", after=died, seconds=8)
                run_until(running, died + AWAY_S)
                own_pulse.start_again()
                there = now()
                back = running.wait_for("sound back", after=there, seconds=15)
                with recorder(own_pulse) as second:
                    run_until(running, back + 6.0)
                    assert running.stop() == 0
                    later = second.heard()
        before = capture.heard()
    outcome = outcome_of(running, amp, before)
    outcome.injected.append({"time": died, "kind": "sound server", "detail": {}})
    print(f"pulse: lost told after {lost - died:.2f} s, back {back - there:.2f} s after the server")
    assert back - there < BACK_S
    check_sounding(outcome, died - 2.0, died - 0.2)
    check_decoding_went_on(outcome.hops, died, back)
    outcome.heard = later
    check_sounding(outcome, back + 3.5, back + 5.5)
    check_clean_edges_like(
        before.between(died - 2.2, died - 0.2), later.between(back + 3.5, back + 5.5)
    )
    check_delay(outcome, back + 4.0, back + 5.8)


def check_clean_edges_like(usual: np.ndarray, audio: np.ndarray) -> None:
    """No click, no repeat, in audio of another capture."""
    assert largest_step(audio) < step_bound(usual)
    assert repeats(audio) == []


def test_jack_dies_and_returns(sounding_bundle: Path, jack: SoundServer, tmp_path: Path) -> None:
    """JACK never tells its clients, and hangs them when they leave: the player is killed."""
    with amplifier(tmp_path, []) as amp:
        chosen = session_settings(jack, amp)
        with live(sounding_bundle, tmp_path, jack.env, **chosen) as running:
            with jack.capture() as first:
                decoding = running.wait_for("decoding")
                run_until(running, decoding + 3.0)
                died = now()
                jack.kill()
                lost = running.wait_for("sound lost", after=died, seconds=8)
            run_until(running, died + AWAY_S)
            jack.start_again()
            there = now()
            back = running.wait_for("sound back", after=there, seconds=20)
            with jack.capture() as second:
                run_until(running, back + 4.0)
            time.sleep(0.2)
            assert running.stop() == 0
    outcome = outcome_of(running, amp, None)  # type: ignore[arg-type]
    outcome.injected.append({"time": died, "kind": "sound server", "detail": {}})
    print(f"JACK: lost told after {lost - died:.2f} s, back {back - there:.2f} s after the server")
    assert back - there < BACK_S
    check_decoding_went_on(outcome.hops, died, back)
    _check_jack_audio(first.audio(), second.audio())
    check_delay(outcome, back + 2.0, back + 3.8)


def _check_jack_audio(before: np.ndarray, later: np.ndarray) -> None:
    usual = before[np.flatnonzero(np.abs(before) > 1e-3)[0] :][48_000:96_000]
    later = later[np.flatnonzero(np.abs(later) > 1e-3)[0] :]
    assert len(usual) == 48_000
    assert len(later) > 2.0 * 48_000
    middle = later[24_000 : 24_000 + 72_000]
    assert silent_runs(middle, 0.02) == []
    check_clean_edges_like(usual, middle)
