"""Whose clock is ours: a machine's name alone does not tell."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from realtime.clock_correction import SenderClock
from realtime.own_clock import offset_from
from tests.sound_servers import wait_for

HERE = socket.gethostname()


@pytest.mark.parametrize(
    ("hostname", "measured_s", "offset_s"),
    [
        (HERE, None, 0.0),
        (HERE, 0.004, 0.0),
        (HERE, -812.25, -812.25),
        ("another", None, None),
        ("another", 0.004, 0.004),
    ],
)
def test_a_namesake_has_our_clock_until_it_is_measured_to_be_elsewhere(
    hostname: str, measured_s: float | None, offset_s: float | None
) -> None:
    assert offset_from(hostname, measured_s) == offset_s


def sender(hostname: str, offset_s: float) -> Any:
    stream = SimpleNamespace(hostname=hostname)
    return SimpleNamespace(description=stream, time_correction=lambda timeout_s: offset_s)


def test_one_sender_follows_another() -> None:
    with SenderClock(sender(HERE, 1e-4)) as clock:
        assert clock.offset_s == 0.0
        clock.follow(sender(HERE, 99.5))
        wait_for(lambda: clock.offset_s == 99.5, 5, "the twin's clock")
        clock.follow(sender("another", 1e-4))
        wait_for(lambda: clock.offset_s == 1e-4, 5, "another clock")
    assert np.isfinite(clock.offset_s)
