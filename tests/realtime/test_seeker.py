from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from realtime import seeker
from realtime.seeker import Seeker
from realtime.streams import StreamQuery


class Info:
    """A stream that answers."""

    def source_id(self) -> str:
        return "amp"

    def name(self) -> str:
        return "amp"

    def type(self) -> str:
        return "EEG"


class OpenInlet:
    """Raises what liblsl's wrapper does not document, then opens."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.closed = 0

    def __call__(self, info: Any) -> Any:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("could not create stream inlet")
        return SimpleNamespace(pull=lambda timeout_s: object(), close=self.close)

    def close(self) -> None:
        self.closed += 1


def wait_for(what: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeker.pylsl, "resolve_streams", lambda wait_s: [Info()])


def test_a_search_survives_what_lsl_raises() -> None:
    opened = OpenInlet(failures=2)
    search = Seeker(StreamQuery(source_id="amp"), opened)
    search.start(SimpleNamespace(source_id="amp"))  # type: ignore[arg-type]
    wait_for(lambda: search.refusal is not None and "could not create" in search.refusal)
    wait_for(lambda: search.result is not None)
    assert search.refusal is None


def test_a_search_called_off_keeps_no_inlet() -> None:
    search = Seeker(StreamQuery(source_id="amp"), OpenInlet(failures=0))
    search.start(SimpleNamespace(source_id="amp"))  # type: ignore[arg-type]
    wait_for(lambda: search.result is not None)
    search.call_off()
    assert search.result is None and not search.seeking
