"""`seegvox live` as an operator, a script and a laboratory's recorder meet it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pylsl
import pytest

from tests.bundles import TINY_CONTACTS, noise_uv
from tools.amplifier import save_array, spawn_amplifier

pytestmark = pytest.mark.lsl
ROOT = Path(__file__).resolve().parents[2]
# On a busy machine the amplifier is late, and the session says so.
HEARD = ("decoding", "degraded")


@pytest.fixture
def command(tiny_bundle: Path, tmp_path: Path) -> Iterator[list[str]]:
    """The command line of a session on a stream that goes on until the test ends."""
    save_array(tmp_path / "amp.npy", noise_uv(10), Fraction(1024), TINY_CONTACTS)
    source_id = uuid4().hex
    session = tmp_path / "session.toml"
    session.write_text(
        f'bundle = "{tiny_bundle}"\nout = "{tmp_path / "run"}"\n'
        f'[stream]\nsource_id = "{source_id}"\ntimeout_s = 20\n'
        f'[playout]\nsink = "null"\ntarget_ms = 300\n[outlets]\nname = "test-{source_id}"\n'
    )
    with spawn_amplifier(tmp_path / "amp.npy", "--source-id", source_id, "--loop"):
        yield [sys.executable, "-m", "tools.cli", "live", str(session)]


class Script:
    """A session whose standard streams a script holds; every line of its output is JSON."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            [*command, "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.lines: list[dict[str, Any]] = []

    def give(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, **wanted: object) -> dict[str, Any]:
        """The next line in which all of these are so; of a tuple, one."""
        sets = {k: v if isinstance(v, tuple) else (v,) for k, v in wanted.items()}
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line = json.loads(text)
            self.lines.append(line)
            if all(line.get(key) in values for key, values in sets.items()):
                return line
        assert self.process.stderr is not None
        raise AssertionError(f"no {wanted} in {self.lines}; {self.process.stderr.read()}")

    def end(self) -> str:
        """Read to the end; what was on standard error."""
        said, errors = self.process.communicate(timeout=30)
        self.lines += [json.loads(text) for text in said.splitlines()]
        return errors


@pytest.fixture
def script(command: list[str]) -> Iterator[Script]:
    script = Script(command)
    yield script
    if script.process.poll() is None:
        script.process.kill()
    script.process.communicate()


def test_a_script_commands_and_reads_nothing_but_json(script: Script, tmp_path: Path) -> None:
    script.until(type="event", event=HEARD)
    script.give("gain -6 dB")
    script.until(type="event", event="gain", gain_db=-6.0)
    script.give("louder")
    assert "no command" in script.until(type="message")["text"]
    script.give("note first word, é")
    script.until(type="event", event="note", text="first word, é")
    script.give("mute")
    script.until(type="event", event="muted")
    muted = script.until(type="status", state="muted")
    assert muted["reason"]
    assert muted["gain_db"] == -6.0
    assert muted["hop_p99_ms"] > 0
    script.give("unmute")
    script.until(type="event", event=HEARD)
    script.give("stop")
    script.until(type="event", event="stopped")
    assert script.end() == ""
    assert script.process.returncode == 0
    result = script.lines[-1]
    assert result["type"] == "result"
    assert result["hops"] > 60
    assert Path(result["folder"]) == tmp_path / "run"
    statuses = [line for line in script.lines if line["type"] == "status"]
    assert {"hops", "late_hops", "dropped_hops", "underruns", "delay_ms"} <= set(statuses[-1])


def listen(inlet: pylsl.StreamInlet, got: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Pull until the outlet is gone."""
    with contextlib.suppress(pylsl.util.LostError):
        while True:
            rows, stamps = inlet.pull_chunk(timeout=0.2)
            if len(stamps):
                got.append((np.asarray(rows), np.asarray(stamps)))


def test_the_laboratory_gets_what_the_session_made(script: Script, tmp_path: Path) -> None:
    from realtime.record.reading import read_run

    name = _session(tmp_path)["outlets"]["name"]
    # By then there are outlets.
    script.until(type="event", event=("warming", *HEARD))
    found = pylsl.resolve_byprop("name", f"{name}-mel", 1, 20)
    assert found
    inlet = pylsl.StreamInlet(found[0], 60, recover=False)
    inlet.open_stream(10)
    # Kept: its description lives in it.
    info = inlet.info(10)
    told = info.desc().child("seegvox")
    got: list[tuple[np.ndarray, np.ndarray]] = []
    listener = threading.Thread(target=listen, args=(inlet, got))
    listener.start()
    time.sleep(2.0)
    script.give("stop")
    script.end()
    listener.join(10)
    mel = np.concatenate([rows for rows, _ in got])
    stamps = np.concatenate([stamps for _, stamps in got])
    run = read_run(tmp_path / "run")
    # From the first that was heard, nothing is missing, to the last; same machine, one clock.
    np.testing.assert_array_equal(stamps, run.hops["lsl_time"][-len(stamps) :])
    np.testing.assert_array_equal(mel, run.mel[-len(mel) :])
    assert len(mel) > 60
    assert told.child_value("bundle_sha256") == run.about["bundle_sha256"]
    assert told.child_value("stream_source_id") == _session(tmp_path)["stream"]["source_id"]
    assert run.about["settings"]["outlets"]["name"] == name


def _session(tmp_path: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads((tmp_path / "session.toml").read_text())


class Screen:
    """A session on a terminal of its own."""

    def __init__(self, command: list[str]) -> None:
        self.fd, theirs = pty.openpty()
        self.before = termios.tcgetattr(self.fd)
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "200"},
            start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._theirs, self.seen = theirs, ""

    def until(self, pattern: str) -> None:
        """Read on until this is there, from where the last search ended."""
        end = time.monotonic() + 60
        while (found := re.search(pattern, self.seen)) is None:
            assert time.monotonic() < end, (pattern, self.seen[-2000:])
            self.seen += os.read(self.fd, 4096).decode(errors="replace")
        self.seen = self.seen[found.end() :]

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        os.close(self.fd)
        os.close(self._theirs)


@pytest.fixture
def screen(command: list[str]) -> Iterator[Screen]:
    screen = Screen(command)
    yield screen
    screen.close()


@pytest.mark.parametrize("end", ["Q", "\x03"])
def test_an_operator_at_a_terminal(screen: Screen, end: str) -> None:
    screen.until(r"(decoding|degraded)[^|]*\| hop p99")
    screen.type("m")
    screen.until(r"muted \(")
    screen.type("u-")
    screen.until(r"gain -1 dB \| keys:")
    screen.type("nhe blinks\r")
    screen.until("note: text he blinks")
    screen.type(end)
    screen.until("end_to_end")
    # The table is longer than what a terminal holds unread.
    with contextlib.suppress(OSError):
        while screen.process.poll() is None and select.select([screen.fd], [], [], 5)[0]:
            os.read(screen.fd, 65536)
    assert screen.process.wait(20) == 0
    assert termios.tcgetattr(screen.fd) == screen.before


def test_stop_before_there_is_a_stream(command: list[str], tmp_path: Path) -> None:
    screen = Screen([*command, "--source-id", uuid4().hex, "--timeout", "60"])
    screen.until(r"waiting [^|]*\| ")
    screen.type("Q")
    screen.until("interrupted")
    assert screen.process.wait(20) == 130
    assert termios.tcgetattr(screen.fd) == screen.before
    assert not (tmp_path / "run").exists()
    screen.close()
