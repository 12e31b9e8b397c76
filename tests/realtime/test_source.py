"""One stream after another: how the last one is let go."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from realtime import source as source_module
from realtime.source import Source
from realtime.streams import StreamQuery


class HangingInlet:
    """Liblsl's destructor waits for threads that do not end."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.closed_by = ""

    def close(self) -> None:
        self.closed_by = threading.current_thread().name
        self.let_go.wait(20)


def test_an_inlet_that_hangs_does_not_keep_a_session_from_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source_module, "CLOSE_S", 0.1)
    inlet: Any = HangingInlet()
    nothing: Any = None
    source = Source(inlet, StreamQuery(), nothing, nothing, nothing, 2.0)
    begin = time.monotonic()
    source.close()
    # The limit here is of seconds against the 20 that it hangs.
    assert time.monotonic() - begin < 10
    assert inlet.closed_by == "old inlet"
    inlet.let_go.set()
