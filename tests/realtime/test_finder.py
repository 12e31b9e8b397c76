"""Streams that answer now: one that comes later is found, one that goes is forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from realtime import finder as finder_module
from realtime.finder import Finder
from tests.lsl_outlets import Outlet

pytestmark = pytest.mark.lsl


def wait_for(what: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_stream_is_found_when_it_comes_and_forgotten_when_it_goes() -> None:
    finder = Finder()

    def answers(source_id: str) -> bool:
        return source_id in [info.source_id() for info in finder.look()]

    before = Outlet()
    wait_for(lambda: answers(before.source_id))
    later = Outlet()
    wait_for(lambda: answers(later.source_id))
    assert answers(before.source_id)
    del later.lsl
    wait_for(lambda: not answers(later.source_id))
    wait_for(lambda: answers(before.source_id))


def test_queries_end_while_new_ones_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a port of liblsl's range."""
    alive: list[int] = []

    class Query:
        def __init__(self, forget_after: float) -> None:
            alive.append(id(self))

        def results(self) -> list[object]:
            return []

        def __del__(self) -> None:
            alive.remove(id(self))

    clock = [100.0]
    monkeypatch.setattr(finder_module.pylsl, "ContinuousResolver", Query)
    monkeypatch.setattr(finder_module.pylsl, "local_clock", lambda: clock[0])
    finder, most = Finder(), 0
    for _ in range(200):
        assert finder.look() == []
        most = max(most, len(alive))
        clock[0] += 0.02
    # One every 0.2 s, for 0.9 s.
    assert most == 5
    # After a stand-still nothing old is left.
    clock[0] += 60.0
    finder.look()
    assert len(alive) == 1
