"""Commands are understood or refused with a reason; whatever thread gives them, none is lost."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SettingsError
from realtime.operator import LONGEST_NOTE, WAITING_AT_MOST, Command, Operator, parse
from realtime.status import HopTimes


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mute", Command("mute", 7.0)),
        ("  UNMUTE \n", Command("unmute", 7.0)),
        ("gain -6", Command("gain", 7.0, gain_db=-6.0)),
        ("gain +1.5 dB", Command("gain", 7.0, gain_db=1.5)),
        ("note  patient coughs; é ", Command("note", 7.0, text="patient coughs; é")),
        ("note a\tb", Command("note", 7.0, text="a b")),
        ("stop", Command("stop", 7.0)),
    ],
)
def test_understood(line: str, expected: Command) -> None:
    assert parse(line, 7.0) == expected


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("", "no command"),
        ("louder", "expected mute, unmute, gain DB, note TEXT or stop"),
        ("mute now", "'mute' alone"),
        ("gain", "-60 to 20 dB"),
        ("gain 20.1", "a gain of '20.1'"),
        ("gain nan", "-60 to 20 dB"),
        ("gain -inf", "use mute"),
        ("note \x07", "0 characters"),
        ("note " + "x" * (LONGEST_NOTE + 1), "1001 characters"),
    ],
)
def test_refused(line: str, match: str) -> None:
    operator = Operator(lambda: 0.0)
    with pytest.raises(SettingsError, match=match):
        operator.give(line)
    assert operator.poll() is None


@given(st.text())
def test_any_text_is_a_command_or_a_settings_error(line: str) -> None:
    try:
        command = parse(line, 0.0)
    except SettingsError:
        return
    assert "\n" not in str(command)


def test_none_is_lost_between_threads_and_each_keeps_its_order() -> None:
    operator, taken = Operator(lambda: 1.0), []
    givers = [
        threading.Thread(target=lambda g=g: [operator.give(f"note {g} {i}") for i in range(20)])
        for g in range(4)
    ]
    for giver in givers:
        giver.start()
    while any(giver.is_alive() for giver in givers) or len(taken) < 80:
        if (command := operator.poll()) is not None:
            taken.append(command.text)
    for g in range(4):
        assert [text for text in taken if text.startswith(f"{g} ")] == [
            f"{g} {i}" for i in range(20)
        ]


def test_a_flood_is_refused_but_stop_gets_through() -> None:
    operator = Operator(lambda: 0.0)
    for _ in range(WAITING_AT_MOST):
        operator.give("mute")
    with pytest.raises(SettingsError, match="100 commands are waiting"):
        operator.give("mute")
    assert operator.give("stop").verb == "stop"


def test_p99_is_of_the_last_ten_seconds_only() -> None:
    times = HopTimes()
    assert times.p99_ms() != times.p99_ms()  # NaN
    times.add(0.5)
    assert times.p99_ms() == 500.0
    for _ in range(round(10 / 0.015)):
        times.add(0.002)
    assert times.p99_ms() == pytest.approx(2.0)
