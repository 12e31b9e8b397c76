"""One live session with things going wrong: amplifier, service and recorder, a process each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from realtime.record.reading import open_session, read_run
from tests.faults.bundle import CONTACTS, FS, contacts_uv
from tests.faults.sound import RATE, Heard, largest_step, step_bound
from tests.sound_servers import SoundServer, end_process, wait_for
from tools.amplifier import save_array

ROOT = Path(__file__).resolve().parents[2]
# A loss of 50 ms, a packet of 16 samples and the unrest of a shared machine of two cores.
TARGET_MS = 120.0
# Playout's defaults.
DEVICE_MS, HEADROOM_MS = 20.0, 30.0
LINES_S = 40.0
# The consumer hears the first sample; decoding is heard from about 1.2 s on, and the stream's
# clock is learnt by 2 s.
FIRST_FAULT_S = 4.0


@dataclass
class Live:
    """The service's process, what it said and when (LSL seconds), and where it writes."""

    process: subprocess.Popen[str]
    out: Path
    lines: list[tuple[float, str]] = field(default_factory=list)

    def said(self, start: str, after: float = 0.0) -> float | None:
        """LSL time of the first line that begins so, told after an LSL time; None if none."""
        lines = list(self.lines)
        return next((t for t, line in lines if t > after and line.startswith(start)), None)

    def wait_for(self, start: str, after: float = 0.0, seconds: float = LINES_S) -> float:
        """Wait for such a line."""

        def there() -> bool:
            return self.said(start, after) is not None or self.process.poll() is not None

        wait_for(there, seconds, f"'{start}' of {self.lines}")
        told = self.said(start, after)
        assert told is not None, f"the service ended with {self.process.poll()}: {self.lines}"
        return told

    def give(self, line: str) -> float:
        """A word of the operator's; the LSL time just before."""
        assert self.process.stdin is not None
        before = now()
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return before

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20.0) -> int:
        """Signal it and wait for its end; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def states(self) -> list[str]:
        """The states it told, in order."""
        known = ("waiting", "warming", "decoding", "degraded", "muted", "stopped")
        told = [line.split(":")[0].split(" ")[0] for _, line in self.lines]
        return [word for word in told if word in known]


def now() -> float:
    """The LSL clock of this machine: on Linux it is the monotonic clock, to 1 us."""
    return time.monotonic()


@contextmanager
def live(
    bundle: Path, folder: Path, env: dict[str, str], prefix: tuple[str, ...] = (), **settings: Any
) -> Iterator[Live]:
    """The service with these settings; killed at the end if it still runs.

    `prefix` is a command to run it in, such as that of a network namespace.
    """
    out = Path(settings.pop("out", folder / "run"))
    chosen = {"bundle": str(bundle), "out": str(out), "stream": {"timeout_s": 20}, **settings}
    path = folder / f"live-{uuid4().hex[:6]}.json"
    path.write_text(json.dumps(chosen))
    command = [*prefix, sys.executable, "-m", "tests.faults.live_process", str(path)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **env, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Live(process, out)
    reader = threading.Thread(target=_read_lines, args=(running,), daemon=True)
    reader.start()
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        reader.join(5)


def _read_lines(live: Live) -> None:
    assert live.process.stdout is not None
    for line in live.process.stdout:
        stamp, _, text = line.rstrip("\n").partition(" ")
        try:
            live.lines.append((float(stamp), text))
        except ValueError:
            # A traceback, or a library's own words.
            live.lines.append((now(), line.rstrip("\n")))


@dataclass
class Amplifier:
    """The simulated amplifier's process, and the file it lists its faults in."""

    process: subprocess.Popen[str]
    source_id: str
    told: Path

    def injected(self) -> list[dict[str, Any]]:
        """Faults so far: LSL time, kind, detail."""
        if not self.told.exists():
            return []
        return [json.loads(line) for line in self.told.read_text().splitlines()]

    def wait_injected(self, count: int, seconds: float) -> list[dict[str, Any]]:
        """Wait until so many faults have been injected."""
        wait_for(lambda: len(self.injected()) >= count, seconds, f"fault {count}")
        return self.injected()


def write_plan(path: Path, faults: list[dict[str, Any]], packet: int = 16, seed: int = 11) -> Path:
    """A fault plan as TOML; strings, numbers and lists are the same in JSON."""
    lines = [f"seed = {seed}", f"packet = {packet}"]
    for fault in faults:
        lines.append("[[faults]]")
        lines += [f"{key} = {_toml(value)}" for key, value in fault.items()]
    path.write_text("\n".join(lines))
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


@contextmanager
def amplifier(
    folder: Path,
    faults: list[dict[str, Any]],
    packet: int = 16,
    source_id: str | None = None,
    prefix: tuple[str, ...] = (),
    labels: tuple[str, ...] = CONTACTS,
    wait: bool = True,
    env: dict[str, str] | None = None,
) -> Iterator[Amplifier]:
    """A simulated amplifier of 60 contacts in its own process, with faults."""
    tag = uuid4().hex[:6]
    source_id = source_id or uuid4().hex
    path, told = folder / f"amp-{tag}.npy", folder / f"injected-{tag}.jsonl"
    save_array(path, contacts_uv(20.0)[:, : len(labels)], FS, labels)
    plan = write_plan(folder / f"faults-{tag}.toml", faults, packet)
    command = [*prefix, sys.executable, "-m", "tools.amplifier", str(path), "--loop"]
    command += ["--source-id", source_id, "--inject", str(plan), "--injected", str(told)]
    command += ["--wait"] if wait else []
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("ready "), process.poll()
        yield Amplifier(process, source_id, told)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


class Recorder:
    """Captures what a PulseAudio null sink plays, with the time at which each piece came."""

    def __init__(self, server: SoundServer) -> None:
        args = ["parec", "-d", "vspk.monitor", "--raw", "--format=float32le", f"--rate={RATE}"]
        args += ["--channels=1", "--latency-msec=10"]
        env = {**os.environ, **server.env}
        self._process = subprocess.Popen(
            args, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._pieces: list[bytes] = []
        self._arrivals: list[tuple[int, float]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        # A cold sink must run for 2 s before the player, or it stalls for 1.6 s.
        wait_for(lambda: bool(self._arrivals) and self._arrivals[-1][0] > 2 * RATE, 20, "parec")

    def _read(self) -> None:
        assert self._process.stdout is not None
        file, count = self._process.stdout.fileno(), 0
        while piece := os.read(file, 1 << 16):
            count += len(piece)
            self._pieces.append(piece)
            self._arrivals.append((count // 4, now()))

    def heard(self) -> Heard:
        """What was captured so far."""
        # Times first: they may lag behind the audio, never the other way round.
        arrivals = np.array(self._arrivals, float)
        raw = b"".join(self._pieces)
        audio = np.frombuffer(raw[: len(raw) // 4 * 4], np.float32)
        return Heard(audio, arrivals)

    def end(self) -> None:
        """End the recorder."""
        end_process(self._process)
        self._thread.join(5)


@contextmanager
def recorder(server: SoundServer) -> Iterator[Recorder]:
    """Capture for as long as the block lasts, and to the end of what was played."""
    capture = Recorder(server)
    try:
        yield capture
    finally:
        capture.end()


@dataclass
class Outcome:
    """A session that is over: what was injected, told, heard and recorded."""

    injected: list[dict[str, Any]]
    live: Live
    heard: Heard
    events: list[dict[str, Any]]
    hops: np.ndarray
    dac: np.ndarray
    about: dict[str, Any]
    run: Any

    def at(self, kind: str, number: int = 0) -> float:
        """LSL time of a fault."""
        return [f["time"] for f in self.injected if f["kind"] == kind][number]

    def told(self, kind: str, start: float, end: float) -> list[dict[str, Any]]:
        """Events of a kind, recorded between two LSL times."""
        return [e for e in self.events if e["event"] == kind and start <= e["time"] <= end]

    def taken(self, start: float, end: float) -> tuple[np.ndarray, float]:
        """What the device took between two LSL times, by the record; and its rate, Hz."""
        writes = self.run.played_times
        first, last = np.searchsorted(writes["time"], (start, end))
        rows = writes["first"][[max(0, first - 1), min(last, len(writes) - 1)]]
        return self.run.played[rows[0] : rows[1]], float(writes["rate"][0])

    def lost_by_the_server(self) -> bool:
        """Whether the capture has a step that what the device took has not: lost on its way."""
        start, end = self.live.said("decoding") or 0.0, self.hops["available"][-1]
        given, rate = self.taken(start + 0.5, end)
        heard = self.heard.between(start + 0.5, end)
        # A step of the same audio is smaller where its samples lie closer.
        return largest_step(heard) > step_bound(given, rate) * rate / RATE


class Unrest:
    """Notices when the machine itself stands still: a sleep of 5 ms that takes far longer."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Unrest:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            before = now()
            time.sleep(0.005)
            self.worst_s = max(self.worst_s, now() - before - 0.005)


# Beyond this the recorder, or the sound server, may have lost audio that the service gave.
STILL_S = 0.06
ATTEMPTS = 3


def play_out(
    bundle: Path,
    server: SoundServer,
    folder: Path,
    faults: list[dict[str, Any]],
    seconds: float,
    packet: int = 16,
    **settings: Any,
) -> Outcome:
    """Run a session for `seconds` after its first sample, then stop it as an operator would.

    A session in which the machine stood still for `STILL_S`, or the sound server lost audio that
    its device had taken, proves nothing and is run again, up to `ATTEMPTS` in all; the last counts.
    """
    for attempt in range(1, ATTEMPTS + 1):
        part = folder / f"attempt-{attempt}"
        part.mkdir()
        outcome, still_s = _play_out(bundle, server, part, faults, seconds, packet, **settings)
        lost = outcome.lost_by_the_server()
        if still_s < STILL_S and not lost:
            break
        print(f"attempt {attempt}: stood still for {still_s:.3f} s, server lost audio: {lost}")
    return outcome


def _play_out(
    bundle: Path,
    server: SoundServer,
    folder: Path,
    faults: list[dict[str, Any]],
    seconds: float,
    packet: int,
    **settings: Any,
) -> tuple[Outcome, float]:
    """The session's outcome, and the longest that the machine stood still, seconds."""
    with (
        recorder(server) as capture,
        amplifier(folder, faults, packet) as amp,
        live(bundle, folder, server.env, **session_settings(server, amp, **settings)) as running,
    ):
        begun = running.wait_for("warming")
        decoding = running.wait_for("decoding")
        assert decoding - begun < FIRST_FAULT_S
        # Only here, where this process does nothing else that could hold its threads up.
        with Unrest() as unrest:
            run_until(running, begun + seconds)
        status = running.stop()
        time.sleep(0.3)
        heard = capture.heard()
    assert status == 0, running.lines
    return outcome_of(running, amp, heard), unrest.worst_s


def run_until(running: Live, time_s: float) -> None:
    """Wait until an LSL time, or until the service has ended."""
    while now() < time_s and running.process.poll() is None:
        time.sleep(0.05)


def outcome_of(running: Live, amp: Amplifier, heard: Heard) -> Outcome:
    """What is left of a session."""
    run = read_run(running.out)
    with open_session(running.out) as file:
        told = file["dac"][()]
    dac = np.full(len(run.hops), np.nan)
    # By the hop's own number: after a loss numbers are left out.
    rows = np.searchsorted(run.hops["index"], told["hop"])
    there = (rows < len(dac)) & np.isin(told["hop"], run.hops["index"])
    dac[rows[there]] = told["time"][there]
    return Outcome(amp.injected(), running, heard, run.events, run.hops, dac, run.about, run)


def session_settings(server: SoundServer, amp: Amplifier, **settings: Any) -> dict[str, Any]:
    """Settings of a session with this sound, and with this amplifier whatever its source id."""
    play = {"device": server.device, "target_ms": TARGET_MS, "device_latency_ms": DEVICE_MS}
    play |= {"headroom_ms": HEADROOM_MS}
    play |= settings.pop("playout", {})
    stream = {"name": "seegvox-amplifier", "timeout_s": 20, **settings.pop("stream", {})}
    return {"playout": play, "stream": stream, **settings}
