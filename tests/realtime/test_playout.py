"""Playout on a virtual clock (the real engine, a simulated device), and its real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from pydantic import ValidationError

from models.errors import AudioError, BusyOutputError
from realtime import devices
from realtime.playout import engine as engine_module
from realtime.playout import sinks
from realtime.playout.control import DelayControl, DeviceClock
from realtime.playout.exchange import AUDIO, SIZE, Count, Exchange
from realtime.playout.playout import Playout, open_playout
from realtime.playout.settings import PlayoutSettings
from realtime.playout.sinks import NullSink
from realtime.playout.wav_parts import keep_part
from tests.alignment import follow, noise
from tests.realtime.drift import AMPLITUDE, EXTREMES, TONE_HZ, Heard, passes, simulate
from tests.realtime.virtual import HOP, HOP_S, World
from tests.sound_servers import wait_for

pytestmark = pytest.mark.paced
ROOT = Path(__file__).parents[2]


def hops_of(sent: np.ndarray):
    """Hop k of `sent`; silence after its end."""
    silence = np.zeros(HOP, dtype=np.float32)
    return lambda k: sent[k * HOP : (k + 1) * HOP] if (k + 1) * HOP <= len(sent) else silence


def tone(seconds: float) -> np.ndarray:
    """207.3 Hz (no pause or cut is a whole period) at 0.4; 48 kHz steps of at most 0.0109."""
    count = int(seconds * 16_000) // HOP * HOP
    return (0.4 * np.sin(2 * np.pi * 207.3 * np.arange(count) / 16_000)).astype(np.float32)


# The tone's own step (0.0109) and that of two raised cosines of 67 samples at 16 kHz over it
# (2 * 0.4 * pi / 2 / 201 = 0.006), and a little for resampling. A click would be up to 0.4.
STEP = 0.018


def silences(heard: np.ndarray) -> np.ndarray:
    """Lengths of exact silence between the first and the last sound, in frames."""
    loud = np.flatnonzero(np.abs(heard) > 1e-6)
    gaps = np.diff(loud) - 1
    return gaps[gaps > 24]


def delays(world: World, rows: np.ndarray) -> np.ndarray:
    """Time from push to the device's buffer, ms, of the hops in `rows`."""
    pushed = np.array([world.times(int(k)) for k in rows[:, 0]])
    return 1000 * (rows[:, 1] - pushed - world.buffer / world.rate)


# --- drift ----------------------------------------------------------------------------------------


class CountingResampler:
    """As many frames as the real one would give, and no sound: an hour in seconds."""

    def __init__(self, *args: object, **more: object) -> None:
        self._owed = 0.0

    def process(self, audio: np.ndarray, ratio: float) -> np.ndarray:
        self._owed += len(audio) * ratio
        whole = int(self._owed)
        self._owed -= whole
        return np.zeros(whole, dtype=np.float32)


@pytest.mark.parametrize(("amplifier", "card"), [(200.0, -200.0), (-200.0, 200.0)])
def test_clocks_at_opposite_extremes(
    monkeypatch: pytest.MonkeyPatch, amplifier: float, card: float
) -> None:
    """The delay stays within 5 ms of 45 from the first second on, nothing runs dry or is cut.

    8 minutes, in which 400 ppm would be 192 ms; an hour is `python -m tests.realtime.drift`.
    """
    monkeypatch.setattr(engine_module.samplerate, "Resampler", CountingResampler)
    found = simulate(amplifier, card, minutes=8, sound=False)
    assert found.hops > 31_900
    assert passes(found), found


@pytest.mark.parametrize(("amplifier", "card"), EXTREMES)
def test_drift_is_not_heard(amplifier: float, card: float) -> None:
    """A tone through the whole start-up, where the ratio moves most; an hour: `drift.main`."""
    found = simulate(amplifier, card, minutes=1.5)
    assert passes(found), found
    # What the decoder means as 1 kHz is heard as the amplifier's clock says, once settled.
    assert found.mean_pitch_ppm == pytest.approx(amplifier, abs=40)


@pytest.mark.parametrize(("lost", "turned", "stepped"), [(0, 0, 0), (1, 1, 1), (-1, 1, 0)])
def test_the_measure_of_drift_sees_a_lost_frame(lost: int, turned: bool, stepped: bool) -> None:
    """Else nothing above could fail: one frame lost where the tone is steep, one repeated."""
    tone_48k = AMPLITUDE * np.sin(2 * np.pi * TONE_HZ * np.arange(4 * 48_000) / 48_000)
    heard, at = Heard(), 48 * 2083
    heard.take([tone_48k[: 2 * at // 3]])
    heard.take([tone_48k[2 * at // 3 : at], tone_48k[at + lost :]])
    assert (np.abs(np.diff(heard.shift_us())).max() > 10) == turned
    assert (heard.largest_step > 1.01 * 2 * AMPLITUDE * np.sin(np.pi / 48)) == stepped


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
def test_audio_comes_out_whole(rate: int) -> None:
    """No jump of 2 us (a lost frame is 20) and a residual below -50 dB.

    The residual is what the piecewise estimate of lag leaves (sinc_fastest itself: below -90 dB).
    """
    sent = noise(4)
    world = World(rate=rate, ppm=100.0, audio=hops_of(sent), period=441, buffer=1323)
    heard = world.finish(4.5)
    if rate != 48_000:
        from scipy.signal import resample_poly

        heard = resample_poly(heard, 480, rate // 100)
    track = follow(heard, sent)
    jumps = track.jumps_us()
    # From piece to piece (10 ms) the ratio may shift lag by 1000 ppm: 10 us.
    assert np.max(np.abs(jumps)) < 12
    assert np.max(np.abs(np.diff(jumps))) < 2
    assert track.residual_db < -50


def test_bursts_of_three_hops_are_no_underrun() -> None:
    world = World(times=lambda k: (k // 3 + 1) * 3 * HOP_S, period=960, buffer=1920)
    world.finish(60)
    assert world.count(Count.UNDERRUNS) == 0
    assert world.count(Count.TRIMS) == 0
    rows = world.drain()[-300:]
    assert np.mean(delays(world, rows)) == pytest.approx(45, abs=5)


def test_the_controller_answers_a_step_as_computed() -> None:
    """200 ppm move the delay by 200e-6 / (e w) = 1.05 ms; smoothing adds a little."""
    control, delay, worst = DelayControl(0.045), 0.045, 0.0
    for _ in range(40_000):
        control.update(delay, HOP_S)
        delay += HOP_S * (200e-6 - control.slowdown)
        worst = max(worst, abs(delay - 0.045))
    assert 0.00105 < worst < 0.0014
    assert delay == pytest.approx(0.045, abs=1e-5)
    assert control.ratio_ppm == pytest.approx(-200, abs=1)


def test_the_device_clock_sees_through_periods() -> None:
    """Times rounded up to periods of 10 ms: after 10 s they are found within 0.2 ms of a line."""
    clock, errors = DeviceClock(48_000), []
    for k in range(4000):
        frames = 201 * k
        exact = frames / 48_000 * (1 + 1e-4)
        clock.update(frames, np.ceil(exact / 0.01) * 0.01)
        if k > 2500:
            errors.append(clock.time_of(frames) - exact)
    assert np.ptp(errors) < 2e-4
    assert np.mean(errors) == pytest.approx(0.005, abs=1e-3)


# --- what goes wrong ------------------------------------------------------------------------------


def paused(k: int) -> float:
    """A producer that stops for 300 ms before hop 100, then goes on at its pace."""
    return (k + 1) * HOP_S + (0.3 if k >= 100 else 0.0)


def test_a_pause_fades_and_comes_back() -> None:
    world = World(times=paused, audio=hops_of(tone(4)))
    heard = world.finish(3.5)
    assert np.max(np.abs(np.diff(heard))) < STEP
    assert len(silences(heard)) == 1
    # 300 ms of pause is heard as that, give or take fades, reserve and a device period.
    assert silences(heard)[0] / 48 == pytest.approx(300, abs=25)
    assert world.count(Count.UNDERRUNS) == 1
    assert np.mean(delays(world, world.drain()[-40:])) == pytest.approx(45, abs=5)


def test_a_pause_repeats_and_loses_nothing() -> None:
    sent = noise(4)
    heard = World(times=paused, audio=hops_of(sent)).finish(4.5)
    before, after = sent[: 98 * HOP], sent[100 * HOP :]
    for piece in (before, after):
        track = follow(heard, piece, skip_s=0.01)
        assert np.max(np.abs(track.jumps_us())) < 12
        assert track.likeness.min() > 0.98


def test_the_backlog_after_a_pause_is_not_played_late() -> None:
    """20 hops at once after 300 ms: old ones are cut, the delay is what it was."""

    def caught_up(k: int) -> float:
        return (k + 1) * HOP_S if not 100 <= k < 120 else 121 * HOP_S

    world = World(times=caught_up, audio=hops_of(tone(5)))
    heard = world.finish(4.5)
    rows = world.drain()
    # Of one push of 20 it cannot be told whether the next comes as late: half of four hops, 22 ms,
    # may remain, and is then played off at 1 ms/s.
    assert 40 < np.mean(delays(world, rows[-40:])) < 45 + 25
    assert np.max(np.abs(np.diff(heard))) < STEP
    cut = rows[np.isnan(rows[:, 1]), 0]
    assert len(cut) > 10
    assert set(cut) <= set(range(100, 120))
    assert np.array_equal(rows[:, 0], np.arange(len(rows)))


@pytest.mark.parametrize("stall", [0.2, 1.0, 6.0])
def test_a_stalled_device_does_not_become_delay(stall: float) -> None:
    """After the stall delay is back within half a second; 6 s is longer than the ring."""
    world = World(device_stall=(2.0, 2.0 + stall), audio=hops_of(tone(12)))
    heard = world.finish(3.0 + stall)
    rows = world.drain()
    last = rows[-20:]
    assert np.mean(delays(world, last)) == pytest.approx(45, abs=5)
    assert world.count(Count.TRIMS) == 1
    assert world.count(Count.TRIMMED) / 16 == pytest.approx(1000 * stall, rel=0.1, abs=20)
    # The cross-fade of two tones of any phase adds no more than the fades of a pause.
    assert np.max(np.abs(np.diff(heard))) < STEP


def test_bursts_are_not_trimmed_but_lasting_excess_is() -> None:
    """From hop 100 on everything comes 60 ms earlier than its pace: delay grows, is cut once."""

    def early(k: int) -> float:
        return (k + 1) * HOP_S - (0.06 if k >= 100 else 0.0)

    world = World(times=early, audio=hops_of(tone(5)))
    world.finish(4)
    assert world.count(Count.TRIMS) == 1
    assert np.mean(delays(world, world.drain()[-40:])) == pytest.approx(45, abs=5)


def test_a_little_delay_is_lost_in_the_next_pause_and_not_heard() -> None:
    """A device stalls for 21 ms, less than is trimmed; words of 0.5 s, pauses of 0.25 s."""
    words = tone(20)
    at = np.arange(len(words)) % 12_000
    # Each word rises and falls within 10 ms, so that every step in what is heard is playout's.
    words *= np.clip(np.minimum(at, 8_000 - at) / 160, 0, 1).astype(np.float32)
    world = World(device_stall=(5.0, 5.021), audio=hops_of(words))
    heard = world.finish(15)
    rows = world.drain()
    told = (rows[:, 0] + 1) * HOP_S
    after = rows[(told > 6.5) & np.isfinite(rows[:, 1])]
    means = np.convolve(delays(world, after), np.ones(20) / 20, "valid")
    # Resampling alone, at its limit of 0.1 %, would take 21 s.
    assert np.max(np.abs(means - 45)) < 5
    assert world.count(Count.TRIMS) == world.count(Count.UNDERRUNS) == 0
    assert 10 < world.count(Count.TRIMMED) / 16 < 30
    assert np.max(np.abs(np.diff(heard))) < STEP
    # Every word was heard as long as it is: only silence was left out.
    sounding = np.flatnonzero(np.abs(heard) > 1e-4)
    pauses = np.flatnonzero(np.diff(sounding) > 2_000)
    begins, ends = sounding[pauses[:-1] + 1], sounding[pauses[1:]]
    # 0.1 % of resampling is 0.5 ms of a word.
    assert np.allclose((ends - begins) / 48, 500, atol=1)
    assert np.min(np.diff(sounding)[pauses]) / 48 < 240


def test_mute_fades_within_a_hop_and_back() -> None:
    world = World(audio=hops_of(tone(4)))
    for _ in world.run(1.5):
        pass
    at = sum(map(len, world.heard))
    world.exchange.counts[Count.MUTE] = 1
    for _ in world.run(2.0):
        pass
    back = sum(map(len, world.heard))
    world.exchange.counts[Count.MUTE] = 0
    heard = world.finish(2.5)
    # 15 ms, the resampler's 1.25 ms and one block.
    fade = int((0.015 + 0.00125) * 48_000) + 201
    assert np.max(np.abs(heard[at + fade : back])) == 0
    assert np.max(np.abs(heard[back + fade :])) > 0.39
    assert np.max(np.abs(np.diff(heard))) < STEP
    assert world.count(Count.UNDERRUNS) == 0


def test_what_is_not_finite_is_silent_and_gone_at_once() -> None:
    sent = tone(2)
    sent[50 * HOP : 51 * HOP] = np.nan
    heard = World(audio=hops_of(sent)).finish(1.9)
    assert np.all(np.isfinite(heard))
    assert np.max(np.abs(heard[-4800:])) > 0.39


def test_the_ceiling_holds_at_the_rate_of_the_device() -> None:
    """Full-scale squares ring above their samples when resampled; not above the ceiling."""
    square = np.sign(tone(2)) * np.float32(0.5)
    heard = World(audio=hops_of(square)).finish(1.9)
    assert np.max(np.abs(heard)) == np.float32(0.5)


def test_dac_times_are_true() -> None:
    """Clicks: told times against the frames in which the device played them."""
    clicks = np.zeros(400 * HOP, dtype=np.float32)
    clicks[np.array([100, 200, 300]) * HOP] = 0.4
    world = World(audio=hops_of(clicks), ppm=150.0)
    heard = world.finish(6)
    rows = world.drain()
    frames = np.flatnonzero(heard > 0.3)
    frames = frames[np.diff(frames, prepend=-10) > 100]
    played = frames / (48_000 * (1 + 150e-6))
    error = rows[[100, 200, 300], 1] - played
    # 0.1 ms: a click's peak is found to a few frames, and the ratio moves it.
    assert np.max(np.abs(error)) < 1e-4


def test_a_late_wake_up_is_not_the_device_s_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0, oversleep=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds + clock.oversleep

    virtual = SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep)
    monkeypatch.setattr(sinks, "time", virtual)
    sink, device, frames, block = NullSink(48_000), DeviceClock(48_000), 0, np.zeros(480, "f4")
    entered = []
    for k in range(100):
        clock.oversleep = 0.05 if k == 50 else 0.0
        before = clock.now
        sink.write(block)
        frames += len(block)
        if clock.now > before:
            device.update(frames + sink.free(), clock.now)
        entered.append(device.time_of(frames))
    # One frame is what `free` rounds away.
    assert np.diff(entered[2:]) == pytest.approx(0.01, abs=1.5 / 48_000)


# --- the ring -------------------------------------------------------------------------------------


def test_the_ring_gives_back_what_was_pushed() -> None:
    exchange = Exchange(bytearray(SIZE))
    sent = np.random.default_rng(0).standard_normal(3 * AUDIO).astype(np.float32)
    read = 0
    for hop, start in enumerate(range(0, len(sent) - 700, 700)):
        exchange.push(sent[start : start + 700], hop, 0.5 * hop)
        assert np.array_equal(exchange.read(read, 700), sent[read : read + 700])
        assert exchange.mark(hop) == (hop, start, 0.5 * hop)
        read += 700


# --- the process ----------------------------------------------------------------------------------


def play_hops(playout: Playout, sent: np.ndarray, first: int = 0) -> None:
    """Push at the pace of 15 ms."""
    begin = time.monotonic()
    for k in range(len(sent) // HOP):
        time.sleep(max(0.0, begin + k * HOP_S - time.monotonic()))
        playout.push(sent[k * HOP : (k + 1) * HOP], first + k)


@pytest.mark.parametrize("host", ["process", "thread"])
def test_a_wav_file_holds_what_was_pushed(host: str, tmp_path: Path) -> None:
    target = tmp_path / "heard.wav"
    sent = noise(1.5)
    # 300 ms of delay: this is about the path, not about a busy test machine.
    settings = PlayoutSettings(sink="wav", wav=target, rate=48_000, target_ms=300, host=host)
    playout = open_playout(settings, clock=lambda: time.monotonic() + 1000)
    play_hops(playout, sent)
    assert not target.exists()
    wait_for(lambda: playout.stats().fill_ms == 0, 5, "the last hop")
    stats = playout.stats()
    playout.stop()
    rows = playout.drain_dac_times()
    assert not playout.stats().alive
    assert stats.alive
    assert str(target) in stats.device
    assert rows[:, 0].tolist() == list(range(len(sent) // HOP))
    assert np.all(np.diff(rows[:, 1]) > 0)
    assert rows[0, 1] == pytest.approx(time.monotonic() + 1000, abs=10)
    with wave.open(str(target)) as file:
        assert file.getframerate() == 48_000
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    track = follow(heard, sent)
    # 16 bit leave -80 dB; the estimate of lag, with a ratio still settling, -40.
    assert track.residual_db < -40
    assert np.max(np.abs(track.jumps_us())) < 12
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_never_overwritten_unasked(tmp_path: Path) -> None:
    target = tmp_path / "a.wav"
    target.write_bytes(b"mine")
    with pytest.raises(BusyOutputError, match=r"a\.wav exists"):
        open_playout(PlayoutSettings(sink="wav", wav=target))
    assert target.read_bytes() == b"mine"
    with pytest.raises(ValidationError, match="needs a file"):
        PlayoutSettings(sink="wav")


def killed_after(playout: Playout, sent: np.ndarray, first: int) -> None:
    """Play, then kill the player with what it has written."""
    play_hops(playout, sent, first)
    wait_for(lambda: playout.stats().fill_ms == 0, 5, "the last hop")
    os.kill(playout.pid or 0, signal.SIGKILL)
    wait_for(lambda: not playout.stats().alive, 5, "the death to be noticed")


def test_what_a_dead_player_wrote_stays_beside_what_the_next_one_writes(tmp_path: Path) -> None:
    """A player is retried; nobody can append to the middle of a second that is over."""
    target = tmp_path / "heard.wav"
    settings = PlayoutSettings(sink="wav", wav=target, rate=16_000, target_ms=100)
    playout = open_playout(settings)
    killed_after(playout, noise(1.0), 0)
    playout.start()
    killed_after(playout, noise(1.0), 1000)
    playout.start()
    playout.stop()
    names = ["heard-1.wav", "heard-2.wav", "heard.wav"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names[:2]:
        with wave.open(str(tmp_path / name)) as file:
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        # Python's buffer of 8 KiB died with the player: a quarter of a second at 16 kHz.
        assert len(heard) > 16_000 - 4096
        assert np.abs(heard).max() > 1000


def test_a_part_without_audio_and_one_of_another_kind(tmp_path: Path) -> None:
    part, path = tmp_path / "a.wav.part", tmp_path / "a.wav"
    assert keep_part(part, path) is None
    part.write_bytes(b"R" * 44)
    assert keep_part(part, path) is None
    part.write_bytes(b"somebody else's bytes, which are more than forty-four of them")
    kept = keep_part(part, path)
    assert kept == tmp_path / "a-1.wav"
    assert kept.read_bytes().startswith(b"somebody else's")


def test_it_can_be_stopped_and_started_again() -> None:
    playout = open_playout(PlayoutSettings(sink="null"))
    child = playout.pid
    assert child is not None
    playout.start()
    assert playout.stats().alive
    assert playout.pid != child
    playout.stop()
    playout.stop()
    assert not psutil.pid_exists(child)


def test_a_hanging_player_is_noticed_and_killed() -> None:
    """SIGSTOP is what a device call that never returns looks like from here."""
    playout = open_playout(PlayoutSettings(sink="null"))
    child = playout.pid
    assert child is not None
    os.kill(child, signal.SIGSTOP)
    wait_for(lambda: not playout.stats().alive, 5, "the hang to be noticed")
    playout.push(np.zeros(HOP, dtype=np.float32), 0)
    playout.stop()
    assert not psutil.pid_exists(child)


def test_a_killed_player_is_noticed() -> None:
    playout = open_playout(PlayoutSettings(sink="null"))
    os.kill(playout.pid or 0, signal.SIGKILL)
    wait_for(lambda: not playout.stats().alive, 5, "the death to be noticed")
    playout.stop()


def test_the_player_ends_with_its_parent() -> None:
    code = (
        "import os; from realtime.playout.playout import *\n"
        "p = open_playout(PlayoutSettings(sink='null')); print(p.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    wait_for(lambda: not psutil.pid_exists(int(done.stdout)), 5, "the orphan to end")


def test_the_player_imports_nothing_heavy() -> None:
    code = (
        "import sys, json, realtime.playout.process, sounddevice\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "samplerate" in loaded
    assert not loaded & {"onnxruntime", "scipy", "torch", "pylsl", "librosa", "matplotlib"}


# --- devices --------------------------------------------------------------------------------------


def fake_portaudio(*names: str) -> SimpleNamespace:
    listed = [
        {"name": n, "hostapi": 0, "max_output_channels": 2, "default_samplerate": 48_000.0}
        for n in names
    ]
    return SimpleNamespace(
        query_hostapis=lambda: [{"name": "ALSA", "default_output_device": len(names) - 1}],
        query_devices=lambda index=None: listed if index is None else listed[index],
        default=SimpleNamespace(device=[-1, -1]),
    )


def test_without_portaudio_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert "PortAudio cannot be loaded" in (devices.usable_output() or "")
    with pytest.raises(AudioError, match="apt-get install libportaudio2"):
        open_playout(PlayoutSettings(host="thread"))


def test_without_devices_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "portaudio", lambda: fake_portaudio())
    assert "there is no sound device" in (devices.usable_output() or "")


def test_an_unknown_device_fails_in_the_player_and_is_told_here() -> None:
    with pytest.raises(AudioError, match=r"no sound device|no device fits"):
        open_playout(PlayoutSettings(device="no such thing"))


@pytest.mark.parametrize(
    ("asked", "index"), [(None, 2), (0, 0), ("usb", 1), ("pulse", 0), ("Pulse Two", 2)]
)
def test_devices_are_found(
    monkeypatch: pytest.MonkeyPatch, asked: int | str | None, index: int
) -> None:
    monkeypatch.setattr(devices, "portaudio", lambda: fake_portaudio("pulse", "USB", "Pulse Two"))
    assert devices.find_output(asked)[0] == index
    assert devices.usable_output(asked) is None


def test_an_ambiguous_or_absent_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "portaudio", lambda: fake_portaudio("USB one", "USB two"))
    with pytest.raises(AudioError, match=r"several devices fit.*0 USB one.*1 USB two"):
        devices.find_output("usb")
    with pytest.raises(AudioError, match="no device fits"):
        devices.find_output(7)
