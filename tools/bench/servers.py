"""Private sound servers to measure with: JACK's dummy driver and a PulseAudio null sink.

Each has a name, folder and socket of its own; nothing of the user's session is touched. They stand
for hardware, so they get real-time priority where that is permitted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.errors import AudioError

RATE = 48_000
JACK, PULSE = "jack", "pulse"
# JACK keeps eight names for good if their servers were killed; a known one it takes again.
_JACK_NAME = "seegvoxbench"
_START_S = 15.0


@dataclass(frozen=True)
class SoundServer:
    """A running server: its kind, PortAudio's name of its output, the environment to reach it."""

    kind: str
    device: str
    env: Mapping[str, str]


@contextmanager
def sound_server(kind: str, folder: Path, period: int) -> Iterator[SoundServer]:
    """Run a server during the block, its clients reached through this process's environment.

    Parameters
    ----------
    kind : `jack` or `pulse`.
    folder : for its files.
    period : frames of JACK's period.

    Raises
    ------
    AudioError
        If it is not installed, or does not answer.
    """
    with {JACK: _jack, PULSE: _pulse}[kind](folder, period) as server, _environment(server.env):
        yield server


@contextmanager
def _jack(folder: Path, period: int) -> Iterator[SoundServer]:
    _require("jackd", "jack_lsp", package="jackd2")
    env = {
        "JACK_NO_AUDIO_RESERVATION": "1",
        "JACK_DEFAULT_SERVER": _JACK_NAME,
        # Left over from elsewhere it would make clients look for a server of another kind.
        "JACK_NO_START_SERVER": "1",
    }
    args = ["jackd", "-S", "-r", "-n", _JACK_NAME, "-d", "dummy", "-r", str(RATE)]
    with _running([*args, "-p", str(period)], env, ["jack_lsp"], env, folder):
        yield SoundServer(JACK, "system (JACK", env)


@contextmanager
def _pulse(folder: Path, period: int) -> Iterator[SoundServer]:
    _require("pulseaudio", "parec", "pactl", package="pulseaudio pulseaudio-utils")
    home = Path(tempfile.mkdtemp(prefix="pulse-", dir=folder))
    private = {
        name: str(home)
        for name in ("HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH")
    }
    private["PULSE_CLIENTCONFIG"] = "/dev/null"
    args = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
    # With shared memory the daemon aborts after some runs (memblock.c:780, upstream #824).
    args += ["--disable-shm=yes", "--enable-memfd=no", "--realtime=no", "--high-priority=no"]
    args += [f"--load=module-native-protocol-unix socket={home}/pulse.sock auth-anonymous=1"]
    sink = f"sink_name=vspk rate={RATE} channels=1 format=float32le"
    args += [f"--load=module-null-sink {sink}"]
    env = {"PULSE_SERVER": f"unix:{home}/pulse.sock"}
    with _running(args, private, ["pactl", "info"], env, folder):
        yield SoundServer(PULSE, "pulse", env)


def _require(*programs: str, package: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        raise AudioError(
            f"{', '.join(missing)} is not installed",
            "a sound server to play into",
            f"Debian: apt-get install {package}",
        )


@contextmanager
def _running(
    args: list[str],
    env: Mapping[str, str],
    ready: list[str],
    client_env: Mapping[str, str],
    folder: Path,
) -> Iterator[None]:
    with (folder / f"{args[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            args, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _wait(lambda: _answers(ready, client_env), args[0], folder)
        # Only here: liblsl may be missing where another verb runs.
        from tools.soak_real import as_hardware

        as_hardware(process.pid)
        yield
    finally:
        # Its clients are gone by now; killed, JACK would leave its shared memory behind.
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(ready: Callable[[], bool], name: str, folder: Path) -> None:
    end = time.monotonic() + _START_S
    while not ready():
        if time.monotonic() > end:
            said = (folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
            raise AudioError(
                f"{name} does not answer ({said[-1] if said else 'it said nothing'})",
                f"an answer within {_START_S:g} s",
                "start it by hand to see why",
            )
        time.sleep(0.02)


def _answers(args: list[str], env: Mapping[str, str]) -> bool:
    done = subprocess.run(
        args, env={**os.environ, **env}, capture_output=True, timeout=10, check=False
    )
    return done.returncode == 0


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """The player is a child of this process, and finds the server by its environment."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
