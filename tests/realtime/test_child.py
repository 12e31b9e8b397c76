"""The end of a process beside the decoder's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from realtime import child


class Undying:
    """Stuck in a driver: a signal finds nobody."""

    def __init__(self) -> None:
        self.killed = 0

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "waited for without limit"
        raise subprocess.TimeoutExpired("player", timeout)

    def kill(self) -> None:
        self.killed += 1


def test_one_that_cannot_die_is_left_behind() -> None:
    stuck = Undying()
    child.end(stuck, 0.0)  # type: ignore[arg-type]
    assert stuck.killed == 1


@pytest.mark.parametrize(("code", "status"), [("pass", 0), ("import time; time.sleep(60)", -9)])
def test_one_that_ends_is_waited_for_and_one_that_does_not_is_killed(
    code: str, status: int
) -> None:
    process = subprocess.Popen([sys.executable, "-c", code])
    child.end(process, 10.0 if status == 0 else 0.2)
    assert process.returncode == status
