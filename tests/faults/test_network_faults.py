"""The cable between amplifier and decoder: pulled for 3 and 40 s, and UDP blocked.

The amplifier lives in a network namespace behind a pair of virtual interfaces.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from tests.faults.policy import (
    check_clean_edges,
    check_delay,
    check_resumed,
    check_sounding,
    silence_for,
)
from tests.faults.session import (
    Amplifier,
    Live,
    Recorder,
    amplifier,
    live,
    now,
    outcome_of,
    recorder,
    run_until,
    session_settings,
)
from tests.lsl_config import lsl_config
from tests.sound_servers import SoundServer, require

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

HERE, THERE = "10.213.77.1", "10.213.77.2"


@dataclass
class Cable:
    """A cable to another machine's network: commands run there, and configurations of liblsl."""

    space: str
    link: str
    here: dict[str, str]
    there: dict[str, str]

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.space)

    def pull(self) -> float:
        """Out; the LSL time just before."""
        before = now()
        ip("link", "set", self.link, "down")
        return before

    def plug(self) -> float:
        """In again; the LSL time just after."""
        ip("link", "set", self.link, "up")
        return now()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    require("ip")
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    tag = uuid4().hex[:6]
    space, link, end = f"svf{tag}", f"svh{tag}", f"svt{tag}"
    try:
        ip("netns", "add", space)
    except subprocess.CalledProcessError as err:
        pytest.skip(f"network namespaces are not permitted here: {err.stderr.decode()}")
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", end)
        ip("link", "set", end, "netns", space)
        ip("addr", "add", f"{HERE}/24", "dev", link)
        ip("link", "set", link, "up")
        for words in (["addr", "add", f"{THERE}/24", "dev", end], ["link", "set", end, "up"]):
            ip("-n", space, *words)
        ip("-n", space, "link", "set", "lo", "up")
        envs = []
        for peer in (THERE, HERE):
            path = tmp_path / f"lsl-{peer}.cfg"
            path.write_text(lsl_config(f"cable{tag}") + f"KnownPeers={{{peer}}}\n")
            envs.append({"LSLAPICFG": str(path)})
        yield Cable(space, link, *envs)
    finally:
        # The pair goes with the namespace, once its last process has ended.
        subprocess.run(["ip", "link", "del", link], check=False, capture_output=True)
        ip("netns", "del", space)


@contextmanager
def session_over(
    cable: Cable, bundle: Path, pulse: SoundServer, folder: Path
) -> Iterator[tuple[Live, Amplifier, Recorder]]:
    """A session that has decoded for 3 s what comes through the cable."""
    with (
        recorder(pulse) as capture,
        amplifier(folder, [], prefix=cable.prefix, env=cable.there) as amp,
        live(bundle, folder, pulse.env | cable.here, **session_settings(pulse, amp)) as running,
    ):
        decoding = running.wait_for("decoding")
        run_until(running, decoding + 3.0)
        yield running, amp, capture


@pytest.mark.parametrize("seconds", [3.0, 40.0], ids=["3s", "40s"])
def test_a_cable_that_is_pulled(
    sounding_bundle: Path, pulse: SoundServer, tmp_path: Path, cable: Cable, seconds: float
) -> None:
    """Nobody reports it; what TCP kept is seconds old when it comes, and is not played."""
    with session_over(cable, sounding_bundle, pulse, tmp_path) as (running, amp, capture):
        pulled = cable.pull()
        run_until(running, pulled + seconds)
        plugged = cable.plug()
        run_until(running, plugged + 5.0)
        assert running.stop() == 0
        outcome = outcome_of(running, amp, capture.heard())
    outcome.injected.append({"time": pulled, "kind": "pulled", "detail": {}})
    span = silence_for(outcome, pulled)
    print(f"{seconds:g} s: sound {span.end - plugged:.3f} s after the cable was back")
    assert span.end > plugged
    check_resumed(span, plugged)
    check_clean_edges(outcome, pulled - 0.5, pulled + 0.5)
    check_clean_edges(outcome, plugged, plugged + 3.0)
    check_delay(outcome, plugged + 3.0, plugged + 4.8)
    # What may be heard is new: younger than playout's delay and a packet.
    hops = outcome.hops
    heard = (hops["available"] > pulled) & ~hops["muted"] & ~hops["dropped"]
    assert np.max((hops["available"] - hops["lsl_time"])[heard]) < 0.15


def test_an_amplifier_that_returns_where_multicast_does_not_reach(
    sounding_bundle: Path, pulse: SoundServer, tmp_path: Path, cable: Cable
) -> None:
    """Each side knows the other by its address alone; the amplifier dies and is started again."""
    with session_over(cable, sounding_bundle, pulse, tmp_path) as (running, amp, capture):
        amp.process.send_signal(signal.SIGKILL)
        gone = now()
        run_until(running, gone + 1.5)
        there = {"prefix": cable.prefix, "env": cable.there, "wait": False}
        with amplifier(tmp_path, [], source_id=amp.source_id, **there):
            back = now()
            run_until(running, back + 3.0)
            assert running.stop() == 0
        outcome = outcome_of(running, amp, capture.heard())
    outcome.injected.append({"time": gone, "kind": "killed", "detail": {}})
    span = silence_for(outcome, gone)
    print(f"sound {span.end - back:.3f} s after the stream was back")
    check_resumed(span, back)
    check_clean_edges(outcome, gone - 0.2, back + 1.5)
    check_delay(outcome, back + 1.0, back + 2.0)


def test_udp_that_is_blocked(
    sounding_bundle: Path, pulse: SoundServer, tmp_path: Path, cable: Cable
) -> None:
    """The sender's clock cannot be asked any more; data flow over TCP, and it sounds on."""
    rule = ["rule", "add", "pref", "5", "ipproto", "udp", "to", THERE, "blackhole"]
    with session_over(cable, sounding_bundle, pulse, tmp_path) as (running, amp, capture):
        ip(*rule)
        blocked = now()
        try:
            run_until(running, blocked + 12.0)
        finally:
            ip("rule", "del", "pref", "5")
        assert running.stop() == 0
        outcome = outcome_of(running, amp, capture.heard())
    outcome.injected.append({"time": blocked, "kind": "blocked", "detail": {}})
    check_sounding(outcome, blocked - 2.0, blocked + 11.5)
    check_clean_edges(outcome, blocked - 2.0, blocked + 11.5)
    check_delay(outcome, blocked + 8.0, blocked + 11.5)
