"""One bundle and one sound server for all fault sessions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bundle import write_bundle
from tests.faults.session import Outcome, play_out
from tests.sound_servers import SoundServer, pulse_null


@pytest.fixture(scope="session")
def sounding_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose audio never pauses; read it, do not write into it."""
    path = tmp_path_factory.mktemp("bundle") / "sounding"
    write_bundle(path)
    return path


@pytest.fixture(scope="module")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundServer]:
    """A PulseAudio daemon with a null sink."""
    with pulse_null(tmp_path_factory.mktemp("pulse")) as running:
        yield running


@pytest.fixture(scope="module")
def outcome(
    request: pytest.FixtureRequest,
    sounding_bundle: Path,
    pulse: SoundServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcome:
    """One session under the module's `PLAN`, of `SECONDS`."""
    module = request.module
    folder = tmp_path_factory.mktemp(module.__name__.rpartition(".")[2])
    return play_out(sounding_bundle, pulse, folder, module.PLAN, module.SECONDS)
