"""The search for a stream, with answers made up: what is tried, what is refused, and when."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from models.errors import MontageError, StreamError
from realtime import seeker
from realtime.seeker import Seeker
from realtime.streams import StreamQuery


class Info:
    """A stream that answers."""

    def __init__(self, uid: str = "1", source_id: str = "amp") -> None:
        self._uid, self._source_id = uid, source_id

    def source_id(self) -> str:
        return self._source_id

    def uid(self) -> str:
        return self._uid

    def name(self) -> str:
        return "amp"

    def type(self) -> str:
        return "EEG"

    def hostname(self) -> str:
        return "here"

    def channel_count(self) -> int:
        return 4

    def nominal_srate(self) -> float:
        return 1024.0


class Answers:
    """Stands for `Finder`: gives what is set."""

    def __init__(self, *infos: Info) -> None:
        self.infos = list(infos)

    def look(self) -> list[Any]:
        return list(self.infos)


class OpenInlet:
    """Raises each of `failures`, then opens."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.closed = self.tries = 0

    def __call__(self, info: Any) -> Any:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return SimpleNamespace(pull=lambda timeout_s: object(), close=self.close)

    def close(self) -> None:
        self.closed += 1


def wait_for(what: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers(Info())
    monkeypatch.setattr(seeker, "Finder", lambda: made)
    return made


def start(opened: OpenInlet, **query: Any) -> Seeker:
    search = Seeker(StreamQuery(**(query or {"source_id": "amp"})), opened)
    search.start(SimpleNamespace(source_id="amp"))  # type: ignore[arg-type]
    return search


def test_a_search_survives_what_lsl_raises(answers: Answers) -> None:
    """Liblsl's wrapper raises more than it documents."""
    failure = RuntimeError("could not create stream inlet")
    search = start(OpenInlet(failure, failure))
    wait_for(lambda: search.refusal is not None and "could not create" in search.refusal)
    wait_for(lambda: search.result is not None)
    assert search.refusal is None


def test_a_search_called_off_keeps_no_inlet(answers: Answers) -> None:
    search = start(OpenInlet())
    wait_for(lambda: search.result is not None)
    search.call_off()
    assert search.result is None and not search.seeking


def test_a_stream_that_does_not_open_is_tried_again(answers: Answers) -> None:
    opened = OpenInlet(StreamError("gone again"))
    search = start(opened)
    wait_for(lambda: search.result is not None)
    assert opened.tries == 2


def test_what_was_refused_is_opened_once_and_stays_refused_while_it_answers(
    answers: Answers,
) -> None:
    opened = OpenInlet(MontageError("2 of 8 contacts are missing"))
    search = start(opened)
    wait_for(lambda: search.refusal is not None)
    # Answers that are lost on their way are no departure.
    answers.infos = []
    time.sleep(0.3)
    answers.infos = [Info()]
    time.sleep(0.3)
    assert search.refusal == "2 of 8 contacts are missing"
    assert (opened.tries, search.result) == (1, None)
    # Another one in its place is another matter.
    answers.infos = [Info("2")]
    wait_for(lambda: search.result is not None)


def test_what_was_refused_and_is_silent_for_a_second_is_gone(answers: Answers) -> None:
    search = start(OpenInlet(MontageError("2 of 8 contacts are missing")))
    wait_for(lambda: search.refusal is not None)
    answers.infos = []
    wait_for(lambda: search.refusal is None)
    assert search.seeking
    search.call_off()


def test_of_several_the_former_source_is_taken_or_none(answers: Answers) -> None:
    answers.infos = [Info("1", "a"), Info("2", "b")]
    search = start(OpenInlet(), name="amp")
    wait_for(lambda: search.refusal is not None)
    assert "2 streams match name 'amp'" in (search.refusal or "")
    assert search.result is None
    answers.infos.append(Info("3", "amp"))
    wait_for(lambda: search.result is not None)
