"""The watch: what it does about a lost device, with a playout made up for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from models.errors import AudioError
from realtime import watch as watch_module
from realtime.events import Event
from realtime.watch import Watch
from tests.sound_servers import wait_for


class FakePlayout:
    """Alive or not; opening it fails with the next of `failures`, then succeeds."""

    def __init__(self, *failures: str) -> None:
        self.alive, self.message, self.failures = True, "", list(failures)
        self.tries = 0
        self.hangs = False

    def stats(self) -> SimpleNamespace:
        return SimpleNamespace(alive=self.alive, message=self.message, device="card, 44100 Hz")

    def drain_dac_times(self) -> np.ndarray:
        return np.zeros((0, 2))

    def start(self, give_up: Callable[[], bool]) -> None:
        self.tries += 1
        if self.hangs:
            wait_for(give_up, 10, "the watch to be stopped")
            raise AudioError("given up")
        if self.failures:
            raise AudioError(self.failures.pop(0))
        self.alive = True


class Told:
    """What is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict]] = []
        self.drained = 0

    def dac_times(self, rows: np.ndarray) -> None:
        assert rows.shape == (0, 2)
        self.drained += 1

    def event(self, event: Event) -> None:
        self.events.append((event.kind, event.details))


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "PERIOD_S", 0.01)
    monkeypatch.setattr(watch_module, "RETRY_S", 0.05)


def test_each_reason_is_told_once_and_the_return() -> None:
    playout, told = FakePlayout("no device", "no device", "no such rate", "no device"), Told()
    with Watch(playout, told.dac_times, told.event) as watch:
        playout.message, playout.alive = "unplugged", False
        wait_for(lambda: not watch.sound, 5, "the loss")
        wait_for(lambda: watch.sound, 5, "the return")
    assert [kind for kind, _ in told.events] == [
        "sound lost",
        *["sound still lost"] * 3,
        "sound back",
    ]
    reasons = [details["why"] for _, details in told.events]
    assert reasons == ["unplugged", "no device", "no such rate", "no device", "card, 44100 Hz"]
    assert told.events[-1][1]["silent_s"] >= 4 * 0.05
    assert (playout.tries, watch.sound_losses) == (5, 1)


def test_the_end_does_not_wait_for_a_device_that_hangs() -> None:
    playout, told = FakePlayout(), Told()
    playout.hangs, playout.alive = True, False
    watch = Watch(playout, told.dac_times, told.event)
    with watch:
        wait_for(lambda: playout.tries == 1, 5, "the first try")
    assert not any(thread.name == "watch" for thread in threading.enumerate())
    assert [kind for kind, _ in told.events] == ["sound lost"]


def test_memory_is_read_and_dac_times_are_handed_on() -> None:
    told = Told()
    with Watch(FakePlayout(), told.dac_times, told.event) as watch:
        wait_for(lambda: len(watch.resident_mb) > 0 and told.drained > 1, 5, "a reading")
    assert watch.resident_mb[0] > 1
    assert told.events == []
