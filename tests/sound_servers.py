"""Private sound servers for the tests: jackd's dummy driver and a PulseAudio null sink.

Each context manager starts its own server (its own name, folder and socket; nothing of the
user's session is touched), yields a `SoundServer` and ends it by its process id.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

RATE = 48_000


def require(*binaries: str) -> None:
    """Skip without these programs; on CI fail, so that nothing is skipped there unseen."""
    missing = [name for name in binaries if shutil.which(name) is None]
    if not missing:
        return
    reason = f"not installed: {', '.join(missing)} (apt-get install jackd2 pulseaudio-utils)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class SoundServer:
    """A running server: PortAudio's name of its output, and the environment to reach it."""

    kind: str
    device: str
    env: dict[str, str]
    folder: Path
    process: subprocess.Popen[bytes]
    args: list[str]
    own_env: dict[str, str]
    ready: list[str]
    warm: bool = False

    def kill(self) -> None:
        """End the server without a word, as a crash does."""
        end_process(self.process, signal.SIGKILL)

    def start_again(self, rate: int = RATE) -> None:
        """Start it again after `kill`, under the same name, and wait until it answers."""
        args = [arg.replace(str(RATE), str(rate)) for arg in self.args]
        self.process = _spawn(args, self.own_env, self.folder / "log")
        self.warm = False
        wait_for(lambda: _answers(self.ready, self.env), 15, args[0])

    def complaints(self) -> int:
        """Cycles that JACK says it lost (it plays silence for them, and tells no client)."""
        log = self.folder / "log"
        return log.read_text(errors="replace").count("XRun") if log.exists() else 0

    @contextmanager
    def capture(self) -> Iterator[Capture]:
        """Record what the server plays; its audio is whole after the block."""
        path = self.folder / f"capture-{uuid.uuid4().hex[:8]}"
        capture = _parec(self, path) if self.kind == "pulse" else _jack_rec(self, path)
        try:
            yield capture
        finally:
            capture.end()


@dataclass
class Capture:
    """A recorder, and the file it writes: raw float32 from PulseAudio, 24-bit WAV from JACK."""

    path: Path
    process: subprocess.Popen[bytes]
    wav: bool

    def end(self) -> None:
        """End the recorder; what it has captured is in its file."""
        # jack_rec and, with a client that was killed, jackd sit out SIGINT and SIGTERM for 3 s.
        end_process(self.process, signal.SIGKILL if self.wav else signal.SIGTERM)

    def audio(self) -> np.ndarray:
        """Captured mono audio, float32, at 48 kHz."""
        raw = self.path.read_bytes()
        if not self.wav:
            return np.frombuffer(raw[: len(raw) // 4 * 4], dtype=np.float32)
        start = raw.index(b"data") + 8
        end = start + (len(raw) - start) // 3 * 3
        parts = np.frombuffer(raw[start:end], dtype=np.uint8).reshape(-1, 3).astype(np.int32)
        value = (parts[:, 0] << 8) | (parts[:, 1] << 16) | (parts[:, 2] << 24)
        return (value / 2.0**31).astype(np.float32)


def _spawn(
    args: list[str], env: dict[str, str], log: Path = Path(os.devnull)
) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            args, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )


def _parec(server: SoundServer, path: Path) -> Capture:
    """Record the monitor; a cold sink must run 2 s before the player, or it stalls for 1.6 s."""
    args = ["parec", "-d", "vspk.monitor", "--raw", "--format=float32le", f"--rate={RATE}"]
    args += ["--channels=1", "--latency-msec=10", str(path)]
    capture = Capture(path, _spawn(args, server.env), wav=False)
    wanted = 0 if server.warm else 2 * RATE * 4
    wait_for(lambda: path.exists() and path.stat().st_size > wanted, 20, "parec's first audio")
    server.warm = True
    return capture


def _jack_rec(server: SoundServer, path: Path) -> Capture:
    """Wait for the player's port in a shell loop that becomes jack_rec."""
    port = "PortAudio:out_0"
    loop = f"until jack_lsp | grep -q '^{port}$'; do sleep 0.02; done; "
    loop += f"exec jack_rec -f {path} -d 600 -b 24 {port}"
    return Capture(path, _spawn(["sh", "-c", loop], server.env), wav=True)


@contextmanager
def jack_dummy(folder: Path, period: int = 1024) -> Iterator[SoundServer]:
    """jackd with its dummy driver at 48 kHz, under a name of its own."""
    require("jackd", "jack_rec", "jack_lsp")
    with _free_name() as name:
        yield from _jack_dummy(folder, period, name)


@contextmanager
def _free_name() -> Iterator[str]:
    """A server name nobody else on this machine tests with, out of four.

    JACK keeps eight names for good if their servers were killed; a known one it takes again.
    """
    for number in range(4):
        path = Path(tempfile.gettempdir()) / f"seegvox-jack-{number}.lock"
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"seegvoxtest{number}"
            return
    raise RuntimeError("four JACK tests are running on this machine already")


def _jack_dummy(folder: Path, period: int, name: str) -> Iterator[SoundServer]:
    env = {"JACK_NO_AUDIO_RESERVATION": "1", "JACK_DEFAULT_SERVER": name}
    # Left over from elsewhere it would make clients look for a server of another kind.
    env |= {"JACK_NO_START_SERVER": "1"}
    args = ["jackd", "-S", "-r", "-n", name, "-d", "dummy", "-r", str(RATE), "-p", str(period)]
    running = _spawn(args, env, folder / "log")
    server = SoundServer("jack", "system (JACK", env, folder, running, args, env, ["jack_lsp"])
    try:
        wait_for(lambda: _answers(server.ready, env), 15, "jackd")
        yield server
    finally:
        end_process(server.process, signal.SIGKILL)


@contextmanager
def pulse_null(folder: Path) -> Iterator[SoundServer]:
    """A PulseAudio daemon of its own folder and socket with one null sink at 48 kHz."""
    require("pulseaudio", "parec", "pactl")
    home = Path(tempfile.mkdtemp(prefix="pulse-", dir=folder))
    socket = f"unix:{home}/pulse.sock"
    private = {name: str(home) for name in ("HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH")}
    private |= {"PULSE_STATE_PATH": str(home), "PULSE_CLIENTCONFIG": "/dev/null"}
    args = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
    # With shared memory the daemon aborts after some runs (memblock.c:780, upstream #824).
    args += ["--disable-shm=yes", "--enable-memfd=no", "--realtime=no", "--high-priority=no"]
    args += [f"--load=module-native-protocol-unix socket={home}/pulse.sock auth-anonymous=1"]
    sink = f"sink_name=vspk rate={RATE} channels=1 format=float32le"
    args += [f"--load=module-null-sink {sink}"]
    running, ready = _spawn(args, private), ["pactl", "info"]
    env = {"PULSE_SERVER": socket}
    server = SoundServer("pulse", "pulse", env, folder, running, args, private, ready)
    try:
        wait_for(lambda: _answers(ready, env), 15, "pulseaudio")
        yield server
    finally:
        end_process(server.process)


def _answers(args: list[str], env: dict[str, str]) -> bool:
    done = subprocess.run(
        args, env={**os.environ, **env}, capture_output=True, timeout=10, check=False
    )
    return done.returncode == 0


def wait_for(ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until `ready()`, or fail naming what was waited for."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def end_process(process: subprocess.Popen[bytes], with_signal: int = signal.SIGTERM) -> None:
    """Signal one process by its id, kill it if it does not go, and reap it."""
    if process.poll() is None:
        process.send_signal(with_signal)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
