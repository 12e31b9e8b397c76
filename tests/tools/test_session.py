"""`seegvox session`: list, show, export."""

import json
import os
import re
import signal
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from realtime.record.reading import read_run
from realtime.record.record import Record
from tests.realtime.record_driver import MadeHop, block
from tools.cli import main

CONTACTS = [f"L{shaft}{number}" for shaft in "AB" for number in range(1, 9)]
HOPS = 400
ABOUT = {
    "stream": {"name": "amp", "source_id": "x1", "manufacturer": "maker"},
    "bundle_sha256": "ab" * 32,
}


def make_session(folder: Path, hops: int = HOPS) -> Path:
    """Hops of which numbers 200 and later come 2 s late: a gap."""
    with Record(folder, ABOUT, CONTACTS, 1024.0, markers=False) as record:
        start = time.monotonic()
        for first in range(0, hops * 15, 256):
            samples, _ = block(first, min(256, hops * 15 - first))
            stamps = start + np.arange(first, first + len(samples)) * 1e-3
            record.samples(samples, stamps, start)
        record.event("decoding", start, why="all is well")
        for index in range(hops):
            hop = MadeHop(index)
            hop.lsl_time = start + 0.015 * index + 2.0 * (index >= 200)
            hop.available = hop.lsl_time + 0.002
            hop.audio = np.full(240, 0.25 * (-1) ** index, np.float32)
            record.hop(hop, hop.available + 0.004, 0.0, index == 3)
        record.event("sound lost", start + 1.0, why="unplugged")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_session(tmp_path_factory.mktemp("sessions") / "monday")


def test_list_tells_of_each_session(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = folder.with_name("tuesday")
    record = Record(cut, ABOUT, CONTACTS, 1024.0, markers=False)
    record.hop(MadeHop(0), 0.0, 0.0, False)
    time.sleep(1.0)
    os.kill(record.pid, signal.SIGKILL)
    record.__exit__()
    damaged = folder.with_name("broken")
    damaged.mkdir()
    (damaged / "session.h5").write_text("nothing")
    assert main(["session", "list", str(folder.parent)]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    # Right after the kill its index is still fresh.
    assert rows["tuesday"].split()[-1] in ("running", "off")
    assert "no session" in rows["broken"]
    monday = rows["monday"].split()
    assert monday[3:] == ["0:00:06.0", "400", "1", "1", "closed"]


def test_show_prints_counts_latency_and_events(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["session", "show", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "stream 'amp' (source_id x1), 16 contacts at 1024 Hz" in said
    assert "400 hops: 1 late, 0 dropped" in said
    assert re.search(r"hop_compute +4.000 +4.000", said)
    assert "sound lost  why unplugged" in said


def test_wav_holds_what_was_handed_over(folder: Path, tmp_path: Path) -> None:
    assert main(["session", "export", str(folder), "--wav", str(tmp_path / "w")]) == 0
    with wave.open(str(tmp_path / "w" / "handed.wav")) as file:
        assert file.getframerate() == 16_000
        found = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    # 16 bits: half a step.
    np.testing.assert_allclose(found, read_run(folder).audio, atol=0.5 / 32767)


def test_nwb_holds_the_session_and_passes_the_inspector(folder: Path, tmp_path: Path) -> None:
    pynwb, inspector = pytest.importorskip("pynwb"), pytest.importorskip("nwbinspector")
    out = tmp_path / "s.nwb"
    assert main(["session", "export", str(folder), "--nwb", str(out)]) == 0
    run = read_run(folder)
    start_s = run.facts["started_lsl_s"]
    with pynwb.NWBHDF5IO(str(out), "r") as io:
        nwb = io.read()
        seeg = nwb.acquisition["sEEG"]
        np.testing.assert_array_equal(seeg.data[()], run.samples)
        np.testing.assert_array_equal(seeg.timestamps[()], run.timestamps - start_s)
        assert seeg.conversion == 1e-6
        assert list(nwb.electrodes["label"][:]) == CONTACTS
        assert set(nwb.electrode_groups) == {"shaft LA", "shaft LB"}
        mel = nwb.processing["decoder"]["mel"]
        np.testing.assert_array_equal(mel.data[()], run.mel)
        # The gap after hop 200 begins a second series.
        parts = [nwb.acquisition[name] for name in ("audio_handed", "audio_handed_2")]
        audio = np.concatenate([part.data[()] for part in parts])
        np.testing.assert_array_equal(audio, run.audio)
        assert [len(part.data) for part in parts] == [200 * 240, 200 * 240]
        later = parts[1].starting_time - parts[0].starting_time
        assert later == pytest.approx(200 * 0.015 + 2.0)
        events = nwb.events["events"]
        assert [json.loads(text)["event"] for text in events["annotation"][:]] == [
            "decoding",
            "sound lost",
        ]
    critical = inspector.Importance.CRITICAL
    found = list(inspector.inspect_nwbfile(nwbfile_path=str(out)))
    assert [m for m in found if m.importance.value >= critical.value] == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["list", "{tmp}"], "holds no session"),
        (["list", "{tmp}/nowhere"], "is no folder"),
        (["list", "{folder}"], "is a session itself"),
        (["show", "{tmp}"], "no session"),
        (["export", "{folder}"], "no format was given"),
        (["export", "{tmp}", "--nwb", "{tmp}/x.nwb"], "no session"),
        (["export", "{folder}", "--wav", "{folder}"], "exists already"),
    ],
)
def test_bad_input_is_told_in_one_line(
    args: list[str],
    said: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [text.format(tmp=tmp_path, folder=folder) for text in args]
    assert main(["session", *filled]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "x.nwb").exists()


def test_help_says_why_there_is_no_xdf(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["session", "export", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "LabRecorder" in said
    assert "--xdf" not in said
