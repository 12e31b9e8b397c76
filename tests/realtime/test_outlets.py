"""Independent clients (mne-lsl, a plain pylsl inlet) read what the session made, whole."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pylsl
import pytest
from pydantic import ValidationError

from models.errors import StreamError
from models.mel import filterbank
from realtime.events import Event
from realtime.outlets.describe import Source, band_centres_hz
from realtime.outlets.outlets import Outlets
from realtime.outlets.ring import SLOTS, HopRing
from realtime.outlets.settings import OutletSettings
from realtime.outlets.telemetry import CHANNELS
from realtime.pipeline import Hop
from realtime.streams import StreamDescription, describe

BUNDLE = Source("tiny", "ab" * 32, "amp", "amp-1", "uid-1", 0.02)
HOPS = 200
HOP_S = 0.015


@pytest.fixture
def settings() -> OutletSettings:
    return OutletSettings(name=f"test-{uuid4().hex}")


def make_hop(index: int, begin: float) -> Hop:
    """A hop whose every value tells which it is; stages take 1, 2, 3, 4 and 5 ms."""
    hop = Hop(index=index, lsl_time=begin + index * HOP_S, masked=index % 3)
    hop.muted, hop.dropped, hop.bridged = index < 20, index == 30, 5 * (index == 40)
    hop.available = hop.lsl_time + 0.010
    hop.started = hop.available + 0.001
    done = hop.started + 1e-3 * np.cumsum([1, 2, 3, 4, 5])
    hop.front_end, hop.encoder, hop.decoder, hop.vocoder, hop.limiter = (float(t) for t in done)
    hop.mel = np.full(80, index, np.float32) + np.arange(80, dtype=np.float32) / 100
    hop.audio = (np.arange(240, dtype=np.float32) + 240 * index) / 1e6
    return hop


def send(outlets: Outlets, begin: float, offset_s: float = 0.0) -> None:
    """Hops at six times the pace of a session, so that the sender has to take several at once."""
    for index in range(HOPS):
        hop = make_hop(index, begin)
        outlets.hop(hop, hop.limiter + 0.001, offset_s, index == 7)
        # The pipeline fills the same object again: what was handed over must have been copied.
        hop.mel[:] = -1
        hop.audio[:] = -1
        time.sleep(HOP_S / 6)


def plain_inlet(settings: OutletSettings, kind: str) -> pylsl.StreamInlet:
    found = pylsl.resolve_byprop("source_id", settings.source_id(kind), 1, 10)
    assert found, f"no {kind}"
    inlet = pylsl.StreamInlet(found[0], 60, recover=False, processing_flags=pylsl.proc_none)
    inlet.open_stream(10)
    return inlet


def pull_all(inlet: pylsl.StreamInlet, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Exactly `count` samples, and no further one within 0.3 s."""
    rows, stamps = [], []
    deadline = time.monotonic() + 10
    while sum(map(len, stamps)) < count and time.monotonic() < deadline:
        data, times = inlet.pull_chunk(timeout=0.2, max_samples=8192)
        if len(times):
            rows.append(np.asarray(data))
            stamps.append(np.asarray(times))
    more, _ = inlet.pull_chunk(timeout=0.3)
    assert len(more) == 0
    return np.concatenate(rows), np.concatenate(stamps)


@pytest.mark.lsl
def test_a_plain_inlet_gets_every_sample_at_the_neural_time(settings: OutletSettings) -> None:
    begin = pylsl.local_clock() - 100
    sound = SimpleNamespace(underruns=2, delay_ms=61.5)
    with Outlets(settings, BUNDLE, lambda: sound) as outlets:
        inlets = {kind: plain_inlet(settings, kind) for kind in ("mel", "audio", "telemetry")}
        send(outlets, begin, offset_s=0.25)
        mel, mel_times = pull_all(inlets["mel"], HOPS)
        audio, audio_times = pull_all(inlets["audio"], 240 * HOPS)
        telemetry, telemetry_times = pull_all(inlets["telemetry"], HOPS)
    neural = begin + 0.25 + np.arange(HOPS) * HOP_S
    np.testing.assert_array_equal(mel, [make_hop(i, 0).mel for i in range(HOPS)])
    np.testing.assert_array_equal(audio.ravel(), (np.arange(240 * HOPS, dtype="f4")) / 1e6)
    # Our own sum and the pipeline's may differ in the last bit of 1e5 s.
    np.testing.assert_allclose(mel_times, neural, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(telemetry_times, mel_times)
    # liblsl carries one stamp per chunk and counts on from it: 240 roundings.
    np.testing.assert_allclose(audio_times[239::240], neural, rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.diff(audio_times), 1 / 16_000, rtol=0, atol=1e-7)
    check_telemetry(dict(zip(CHANNELS, telemetry.T, strict=True)))
    assert outlets.facts == dict.fromkeys(outlets.facts, 0)
    assert outlets.fault is None


def check_telemetry(named: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(named["hop"], np.arange(HOPS))
    for stage, ms in (("front_end", 1), ("encoder", 2), ("decoder", 3), ("vocoder", 4)):
        # float32 of a difference of times: 1e-6 ms and 1e-11 s.
        np.testing.assert_allclose(named[f"{stage}_ms"], ms, rtol=1e-5)
    np.testing.assert_allclose(named["limiter_ms"], 5, rtol=1e-5)
    np.testing.assert_allclose(named["hop_compute_ms"], 17, rtol=1e-5)
    np.testing.assert_allclose(named["transport_ms"], 10 - 250, rtol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(named["late"]), [7])
    np.testing.assert_array_equal(named["masked_contacts"], np.arange(HOPS) % 3)
    np.testing.assert_array_equal(np.flatnonzero(named["muted"]), np.arange(20))
    np.testing.assert_array_equal(np.flatnonzero(named["dropped"]), [30])
    np.testing.assert_array_equal(np.flatnonzero(named["bridged_samples"]), [40])
    assert set(named["underruns"]) == {2.0}
    assert set(named["playout_delay_ms"]) == {61.5}
    assert set(named["finite"]) == set(named["clock_known"]) == {1.0}


@pytest.fixture
def mne_streams(
    settings: OutletSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, object]]:
    """`mne_lsl.stream.StreamLSL` on each numeric outlet, buffering without processing.

    It brings a liblsl of its own (1.17), which finds one of several streams of this machine unless
    told to ask every port; it reads its configuration at its first use, which is here.
    """
    config = Path(os.environ["LSLAPICFG"]).read_text()
    (tmp_path / "lsl_api.cfg").write_text(config + "KnownPeers={127.0.0.1}\n")
    monkeypatch.setenv("LSLAPICFG", str(tmp_path / "lsl_api.cfg"))
    from mne_lsl.stream import StreamLSL

    with Outlets(settings, BUNDLE) as outlets, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        streams = {
            kind: StreamLSL(5.0, source_id=settings.source_id(kind)).connect(
                acquisition_delay=0.005, processing_flags=None, timeout=10
            )
            for kind in ("mel", "audio", "telemetry")
        }
        begin = pylsl.local_clock()
        send(outlets, begin)
        time.sleep(0.3)
        yield {**streams, "begin": begin}
        for stream in streams.values():
            stream.disconnect()


@pytest.mark.lsl
def test_mne_lsl_agrees(settings: OutletSettings, mne_streams: dict[str, object]) -> None:
    mel, audio, telemetry = (mne_streams[kind] for kind in ("mel", "audio", "telemetry"))
    assert mel.info["sfreq"] == pytest.approx(200 / 3)
    assert audio.info["sfreq"] == 16_000
    assert (len(mel.ch_names), mel.ch_names[0], mel.ch_names[-1]) == (
        80,
        f"mel {band_centres_hz()[0]:.1f} Hz",
        f"mel {band_centres_hz()[-1]:.1f} Hz",
    )
    assert telemetry.ch_names == list(CHANNELS)
    assert mel.name == settings.stream_name("mel")
    told = telemetry.sinfo
    assert told.get_channel_units() == list(CHANNELS.values())
    assert (mel.stype, audio.stype, telemetry.stype) == ("Mel", "Audio", "Telemetry")
    data, times = mel.get_data()
    # The buffer of 5 s began empty: its zeros come first.
    real = times > 0
    assert real.sum() == HOPS
    neural = mne_streams["begin"] + np.arange(HOPS) * HOP_S
    np.testing.assert_allclose(times[real], neural, rtol=0, atol=1e-9)
    expected = np.array([make_hop(i, 0).mel for i in range(HOPS)])
    np.testing.assert_array_equal(data[:, real].T, expected)
    sound, sound_times = audio.get_data()
    heard = sound_times > 0
    assert heard.sum() == 240 * HOPS
    np.testing.assert_array_equal(sound[0, heard], np.arange(240 * HOPS, dtype="f4") / 1e6)
    rows, _ = telemetry.get_data(picks=["hop"])
    np.testing.assert_array_equal(rows[0][-HOPS:], np.arange(HOPS))


def read_until_lost(inlet: pylsl.StreamInlet, rows: list, stamps: list) -> None:
    """Look every 0.5 s, as LabRecorder does."""
    with contextlib.suppress(pylsl.util.LostError):
        while True:
            time.sleep(0.5)
            data, times = inlet.pull_chunk(timeout=0.0)
            rows += data
            stamps += list(times)


@pytest.mark.lsl
def test_events_are_markers_of_json_and_the_last_arrives(settings: OutletSettings) -> None:
    with Outlets(settings, BUNDLE) as outlets:
        inlet = plain_inlet(settings, "events")
        outlets.event(Event("note", 12.5, {"text": "patient coughs, é", "level": float("nan")}))
        outlets.event(Event("stopped", 13.5))
        rows, stamps = [], []
        reader = threading.Thread(target=read_until_lost, args=(inlet, rows, stamps))
        reader.start()
    # Nothing of ours waited between the last event and the end of the outlet.
    reader.join()
    assert [json.loads(row[0]) for row in rows] == [
        {"event": "note", "text": "patient coughs, é", "level": None},
        {"event": "stopped"},
    ]
    assert stamps == [12.5, 13.5]


@pytest.mark.lsl
def test_streams_describe_themselves(settings: OutletSettings) -> None:
    told: dict[str, tuple[StreamDescription, pylsl.StreamInfo]] = {}
    with Outlets(settings, BUNDLE):
        for kind in ("mel", "audio", "telemetry", "events"):
            info = plain_inlet(settings, kind).info(10)
            told[kind] = (describe(info), info)
    mel = told["mel"][0]
    # The band's centre is where its triangle is highest; bins of 22050 / 1024 Hz.
    peaks = np.argmax(filterbank(22_050, 1 << 16), axis=1) * 22_050 / (1 << 16)
    centres = [float(label.split()[1]) for label in mel.labels]
    np.testing.assert_allclose(centres, peaks, atol=0.4)
    assert set(mel.units) == {"ln(amplitude)"}
    assert set(mel.types) == {"Mel"}
    assert (told["audio"][0].dtype, told["events"][0].dtype) == ("float32", "string")
    assert [told[kind][0].type for kind in told] == ["Mel", "Audio", "Telemetry", "Markers"]
    assert told["telemetry"][0].units == tuple(CHANNELS.values())
    for description, info in told.values():
        own = info.desc().child("seegvox")
        assert own.child_value("bundle_sha256") == BUNDLE.bundle_sha256
        assert own.child_value("stream_uid") == "uid-1"
        assert own.child_value("hop_s") == "3/200"
        assert description.manufacturer == "seegvox"
        # Without it pyxdf smooths a pause away.
        assert info.desc().child("synchronization").child_value("can_drop_samples") == "true"


@pytest.mark.lsl
def test_only_what_was_chosen_and_the_same_ids_again(settings: OutletSettings) -> None:
    some = settings.model_copy(update={"streams": ("events",)})
    for _ in range(2):
        with Outlets(some, BUNDLE) as outlets:
            outlets.hop(make_hop(0, 0.0), 0.0, 0.0, False)
            assert some.source_id("events") in settings.source_ids
            assert len(pylsl.resolve_byprop("source_id", some.source_id("events"), 1, 10)) == 1
            assert pylsl.resolve_byprop("source_id", some.source_id("mel"), 1, 0.6) == []
    with Outlets(settings.model_copy(update={"streams": ()}), BUNDLE) as silent:
        silent.hop(make_hop(0, 0.0), 0.0, 0.0, False)
        silent.event(Event("note", 0.0))
        assert pylsl.resolve_byprop("source_id", settings.source_id("events"), 1, 0.6) == []


@pytest.mark.lsl
def test_an_unknown_clock_stamps_arrival_and_says_so(settings: OutletSettings) -> None:
    begin = pylsl.local_clock()
    with Outlets(settings, BUNDLE) as outlets:
        inlet = plain_inlet(settings, "telemetry")
        for index, offset in enumerate((float("nan"), 5.0)):
            outlets.hop(make_hop(index, begin), begin, offset, False)
        rows, times = pull_all(inlet, 2)
    np.testing.assert_allclose(times, [begin + 0.010, begin + HOP_S + 5.0], rtol=0, atol=1e-9)
    named = dict(zip(CHANNELS, rows.T, strict=True))
    assert named["clock_known"].tolist() == [0, 1]
    assert np.isnan(named["transport_ms"]).tolist() == [True, False]
    assert outlets.facts["unknown_clock_hops"] == 1


def test_a_full_ring_drops_counts_and_goes_on() -> None:
    ring = HopRing()
    for index in range(SLOTS + 3):
        ring.put(make_hop(index, 0.0), 0.0, 0.0, False)
    assert ring.overruns == 3
    first = ring.waiting()
    assert (first.start, first.stop) == (0, SLOTS)
    ring.done(slice(0, 10))
    ring.put(make_hop(999, 0.0), 0.0, 0.0, False)
    seen = []
    while (slots := ring.waiting()).stop > slots.start:
        seen += ring.telemetry[slots, 0].tolist()
        ring.done(slots)
    assert seen == [*range(10, SLOTS), 999]


@pytest.mark.lsl
def test_a_sender_that_fails_ends_nothing_but_itself(settings: OutletSettings) -> None:
    def broken() -> None:
        raise OSError("the player is gone")

    told: list[str] = []
    with Outlets(settings, BUNDLE, broken, told.append) as outlets:
        for index in range(SLOTS + 5):
            outlets.hop(make_hop(index, 0.0), 0.0, 0.0, False)
        time.sleep(0.1)
        outlets.event(Event("note", 0.0))
    assert told == [outlets.fault] == ["OSError: the player is gone"]


def test_an_outlet_that_cannot_be_made_is_refused(
    settings: OutletSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise RuntimeError("could not create stream outlet.")

    monkeypatch.setattr(pylsl, "StreamOutlet", full)
    with pytest.raises(StreamError, match=r"free port.*outlets\.streams"):
        Outlets(settings, BUNDLE)


@pytest.mark.parametrize("wrong", ["", "it's", 'a"b', "a<b", "a\nb"])
def test_names_that_break_other_programs_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        OutletSettings(name=wrong)
