"""One bundle and one sound server for all fault sessions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bundle import write_bundle
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
