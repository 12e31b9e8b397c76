"""The record of a session: whole, bit for bit, by plain h5py; overruns, deaths and full disks."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pylsl
import pytest

from models.errors import BusyOutputError, RecordingError
from realtime.playout.playout import open_playout
from realtime.playout.settings import PlayoutSettings
from realtime.record import layout, parts
from realtime.record.layout import HOP, TableSpec
from realtime.record.parts import Table
from realtime.record.reading import ending, open_session, read_run
from realtime.record.record import Record
from tests.lsl_outlets import Outlet
from tests.realtime.record_driver import CONTACTS, FS, MadeHop
from tests.realtime.test_record_kill import alive, run_trial


def wait_for(true, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def record(folder: Path, **more: object) -> Record:
    return Record(folder, {"made": "by a test"}, CONTACTS, FS, **{"markers": False, **more})


def indexed_rows(folder: Path, table: str = "seeg/samples") -> int:
    with h5py.File(folder / "session.h5", "r") as file:
        return len(file[table])


def test_samples_come_back_bit_for_bit_with_their_arrival(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    samples = rng.normal(0, 100, (3000, len(CONTACTS))).astype(np.float32)
    samples[5, 2], samples[7, 3] = np.nan, np.inf
    stamps = 1e6 + np.arange(3000) / FS
    sizes = [1, 0, 256, 17, 0, 512, 2214]
    firsts = np.cumsum([0, *sizes[:-1]]).tolist()
    with record(tmp_path / "s") as made:
        for k, (at, n) in enumerate(zip(firsts, sizes, strict=True)):
            made.samples(samples[at : at + n], stamps[at : at + n], 10.0 + k, k // 3, -0.5 * k)
    run = read_run(tmp_path / "s")
    assert run.samples.dtype == np.float32
    assert run.samples.tobytes() == samples.tobytes()
    assert run.timestamps.tobytes() == stamps.tobytes()
    assert run.blocks["count"].tolist() == sizes
    assert run.blocks["row"].tolist() == run.blocks["first"].tolist() == firsts
    assert run.blocks["available"].tolist() == [10.0 + k for k in range(len(sizes))]
    assert run.blocks["stream"].tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert run.blocks["gain_db"].tolist() == [-0.5 * k for k in range(len(sizes))]
    assert run.contacts == CONTACTS


def test_hops_and_words_come_back(tmp_path: Path) -> None:
    rng, hop = np.random.default_rng(2), MadeHop(7)
    hop.mel, hop.audio = (rng.normal(size=n).astype(np.float32) for n in (80, 240))
    hop.lsl_time, hop.limiter, hop.due, hop.bridged, hop.dropped = 1.5, 2.5, 3.5, 4, True
    with record(tmp_path / "s") as made:
        made.hop(hop, 8.25, -0.5, True)
        made.dac_times(np.array([[0.0, 9.5], [7.0, 1.0]]))
        made.event("note", 3.0, text="ünïcode", list=[1, 2])
        made.conclude(hops=1)
    run = read_run(tmp_path / "s")
    row = run.hops[0]
    wanted = {"index": 7, "lsl_time": 1.5, "limiter": 2.5, "due": 3.5, "handed_over": 8.25}
    wanted |= {"clock_offset": -0.5, "bridged": 4, "dropped": True, "late": True, "finite": True}
    assert {name: row[name].item() for name in wanted} == wanted
    assert row.dtype == HOP
    assert run.mel[0].tobytes() == hop.mel.tobytes()
    assert run.audio.tobytes() == hop.audio.tobytes()
    assert np.array_equal(run.mask, hop.mask[None])
    # By its number: hop 7 is the first here, and hop 0 is not here at all.
    assert run.dac.tolist() == [1.0]
    assert run.events == [{"time": 3.0, "event": "note", "text": "ünïcode", "list": [1, 2]}]
    assert run.about == {"made": "by a test", "hops": 1}
    assert ending(run.facts) == "closed"
    # What a copy of the folder would cost: no holes are left in its files.
    assert sum(path.stat().st_size for path in (tmp_path / "s").rglob("*.h5")) < 100_000


def test_a_table_goes_on_in_further_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = Table(tmp_path, TableSpec("t", np.dtype("i8"), (2,), 10))
    rows = np.arange(70).reshape(35, 2)
    for at in (0, 3, 10, 23):
        stop = {0: 3, 3: 10, 10: 23, 23: 35}[at]
        table.append(rows[at:stop])
        table.flush()
    table.finish()
    assert [(count, room) for _, count, room in table.parts] == [(10, 10)] * 3 + [(5, 5)]
    found = [h5py.File(tmp_path / name)[parts.DATASET][:count] for name, count, _ in table.parts]
    assert np.array_equal(np.concatenate(found), rows)


def test_the_index_follows_tables_over_several_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from realtime.record.index import write_index

    specs = [
        TableSpec("seeg/samples", np.dtype("f4"), (3,), 8),
        TableSpec("e", np.dtype("u1"), (), 4),
    ]
    (tmp_path / "data").mkdir()
    made = [Table(tmp_path, spec) for spec in specs]
    rows = np.arange(60, dtype=np.float32).reshape(20, 3)
    made[0].append(rows)
    made[1].append(b"abcdefghij")
    for table in made:
        table.flush()
    write_index(tmp_path, made, {}, ["a", "b", "c"], {})
    # From elsewhere: names in the index are relative to it.
    monkeypatch.chdir("/")
    with h5py.File(tmp_path / "session.h5") as file:
        assert np.array_equal(file["seeg/samples"][()], rows)
        assert file["e"][()].tobytes() == b"abcdefghij"


def test_a_recorder_that_stands_still_costs_records_that_are_counted(tmp_path: Path) -> None:
    said: list[str] = []
    rows, stamps = np.ones((256, len(CONTACTS)), np.float32), np.zeros(256)
    with record(tmp_path / "s", tell=said.append) as made:
        made.samples(rows, stamps, 0.0)
        wait_for(lambda: indexed_rows(tmp_path / "s") == 256)
        os.kill(made.pid, signal.SIGSTOP)
        sent = 1
        while made.dropped < 5:
            made.samples(rows, stamps, float(sent))
            sent += 1
        os.kill(made.pid, signal.SIGCONT)
        kept = 256 * (sent - 5)
        wait_for(lambda: indexed_rows(tmp_path / "s") == kept)
        made.samples(rows, stamps, 1e6)
    assert made.fault is None
    assert any("left out" in line for line in said)
    run = read_run(tmp_path / "s")
    overrun = [event for event in run.events if event["event"] == "record overrun"][-1]
    assert (overrun["records"], overrun["samples"]) == (5, 5 * 256)
    assert run.facts["dropped_samples"] == 5 * 256
    # The block after the overrun says how many samples are missing before it.
    assert run.blocks[-1]["first"] - run.blocks[-1]["row"] == 5 * 256
    assert len(run.samples) == kept + 256


def test_a_recorder_that_dies_is_noticed(tmp_path: Path) -> None:
    with record(tmp_path / "s") as made:
        made.hop(MadeHop(0), 0.0, 0.0, False)
        wait_for(lambda: indexed_rows(tmp_path / "s", "mel") == 1)
        os.kill(made.pid, signal.SIGKILL)
        wait_for(lambda: made.fault is not None)
        assert "status -9" in (made.fault or "")
        made.hop(MadeHop(1), 0.0, 0.0, False)
        made.event("note", 0.0)
    assert len(read_run(tmp_path / "s").hops) == 1
    with open_session(tmp_path / "s") as file:
        assert ending(file.attrs, now=float(file.attrs["written_utc"]) + 60) == "cut off"


def test_a_decoder_that_dies_leaves_a_closed_record(tmp_path: Path) -> None:
    trial = run_trial(tmp_path / "s", "decoder", 0.3)
    assert (trial.recorded_samples, trial.recorded_hops) == (trial.samples, trial.hops)
    run = read_run(tmp_path / "s")
    assert run.events[-1]["event"] == "decoder died"
    assert ending(run.facts) == "decoder died"


def test_a_full_disk_ends_the_record_and_not_the_run(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        rows, stamps, sent = np.ones((256, len(CONTACTS)), np.float32), np.zeros(256), 0
        with record(disk / "s") as made:
            made.event("note", 1.0, text="before")
            while made.fault is None:
                made.samples(rows, stamps, 0.0)
                sent += len(rows)
                time.sleep(0.002)
                assert sent < 10_000_000
            assert "No space left" in made.fault
            made.samples(rows, stamps, 0.0)
        run = read_run(disk / "s")
        assert [event["event"] for event in run.events] == ["note", "record failed"]
        assert "No space left" in run.events[-1]["why"]
        assert "No space left" in ending(run.facts)
        # 3 MB of samples, the spare apart, and all of them true.
        assert 30_000 < len(run.samples) <= sent
        assert (run.samples == 1).all()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_no_room_from_the_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "old").write_text("kept")
    with pytest.raises(BusyOutputError):
        record(tmp_path / "s")
    (tmp_path / "empty").mkdir()
    for name in ("t", "empty"):
        with pytest.raises(RecordingError, match="cannot be recorded"):
            # Not what a player shares: the recorder fails when its folder is half made.
            record(tmp_path / name, own_streams=[], played=os.open("/dev/null", os.O_RDONLY))
    # Nothing stands in the way of the next try; what was there stays.
    assert not (tmp_path / "t").exists()
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.lsl
@pytest.mark.paced
def test_markers_of_any_stream_are_recorded(tmp_path: Path) -> None:
    text = Outlet(["cue"], 0.0, dtype="string", stream_type="Markers", name="cues")
    own = Outlet(["event"], 0.0, dtype="string", stream_type="Markers", name="own")
    with record(tmp_path / "s", markers=True, own_streams=[own.source_id]):
        assert text.lsl.wait_for_consumers(10)
        before = pylsl.local_clock()
        text.lsl.push_sample(["say 'ah'"], before)
        own.lsl.push_sample(["decoding"])
        later = Outlet(["code", "value"], 0.0, dtype="int32", stream_type="Trigger", name="codes")
        neural = Outlet(stream_type="EEG", name="not markers")
        assert later.lsl.wait_for_consumers(10)
        later.lsl.push_sample([7, -3], before + 1)
        wait_for(lambda: indexed_rows(tmp_path / "s", "markers") > 150)
        assert not own.lsl.have_consumers()
        assert not neural.lsl.have_consumers()
    run = read_run(tmp_path / "s")
    assert [row["name"] for row in run.marker_streams] == ["cues", "codes"]
    found = [(m["stream"], m["values"], m["time"]) for m in run.markers]
    assert found == [(0, ["say 'ah'"], before), (1, [7, -3], before + 1)]


@pytest.mark.lsl
@pytest.mark.paced
def test_text_that_is_no_utf_8_is_recorded_and_ends_nothing(tmp_path: Path) -> None:
    """An amplifier that writes in its machine's own code page."""
    text = Outlet(["cue", "by"], 0.0, dtype="string", stream_type="Markers", name="cues")
    with record(tmp_path / "s", markers=True):
        assert text.lsl.wait_for_consumers(10)
        # Bytes are sent as they are.
        text.lsl.push_sample([b"f\xfcnf", b"A"])
        text.lsl.push_sample(["zwölf", "B"])
        wait_for(lambda: indexed_rows(tmp_path / "s", "markers") > 150)
    run = read_run(tmp_path / "s")
    assert [m["values"] for m in run.markers] == [["f\ufffdnf", "A"], ["zwölf", "B"]]
    assert "marker stream lost" not in [event["event"] for event in run.events]


@pytest.mark.paced
def test_what_was_played_is_what_the_device_took(tmp_path: Path) -> None:
    settings = PlayoutSettings(sink="wav", wav=tmp_path / "p.wav", rate=44_100, target_ms=60)
    playout = open_playout(settings, pylsl.local_clock)
    tone = 0.3 * np.sin(2 * np.pi * 500 * np.arange(16_000 * 2) / 16_000).astype(np.float32)
    with record(tmp_path / "s", played=playout.descriptor):
        begin = time.monotonic()
        for hop in range(100):
            playout.push(tone[240 * hop : 240 * hop + 240], hop)
            time.sleep(max(0.0, begin + 0.015 * (hop + 1) - time.monotonic()))
        playout.stop()
    run = read_run(tmp_path / "s")
    import wave

    with wave.open(str(tmp_path / "p.wav")) as file:
        wav = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    # The file began when the device opened, the record a little later, within the 5 s ring.
    assert np.array_equal(
        (np.clip(run.played, -1, 1) * 32767).astype("<i2"), wav[-len(run.played) :]
    )
    assert len(run.played) > 44_100
    times = run.played_times
    assert (times["rate"] == 44_100).all()
    assert times["first"][0] == 0
    assert (np.diff(times["first"]) > 0).all()
    assert np.abs(times["time"] - pylsl.local_clock()).max() < 60
    assert (np.diff(times["time"]) >= 0).all()


def test_damaged_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    with record(tmp_path / "s") as made:
        made.samples(np.ones((4, len(CONTACTS)), np.float32), np.zeros(4), 0.0)
    with pytest.raises(RecordingError, match=r"no session.*there is none"):
        read_run(tmp_path)
    shutil.copytree(tmp_path / "s", tmp_path / "t")
    next((tmp_path / "t" / "data").glob("seeg-samples*")).unlink()
    with pytest.raises(RecordingError, match=r"lacks 1 of its files: data/seeg-samples-0000.h5"):
        read_run(tmp_path / "t")
    (tmp_path / "t" / "session.h5").write_text("not HDF5")
    with pytest.raises(RecordingError, match="no session"):
        read_run(tmp_path / "t")
    with h5py.File(tmp_path / "t" / "session.h5", "w") as file:
        file.attrs.update({"format": layout.FORMAT, "version": 99})
    with pytest.raises(
        RecordingError, match=r"seegvox session 99.*expected seegvox session 1 or 2"
    ):
        read_run(tmp_path / "t")


def test_nothing_outlives_a_closed_record(tmp_path: Path) -> None:
    with record(tmp_path / "s") as made:
        pid = made.pid
    assert not alive(pid)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["data", "session.h5"]
