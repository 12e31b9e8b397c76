"""Sessions decoded again: what is the same, what is not, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from models.bundle import load_bundle
from models.errors import (
    BundleError,
    BusyOutputError,
    CalibrationError,
    MontageError,
    RecordingError,
    SettingsError,
)
from realtime.calibration import Tally, write_calibration
from realtime.decoder import Decoder
from realtime.record.layout import HOP
from realtime.record.reading import ending, read_run
from realtime.redecode import Request, decode
from realtime.redecode.compare import versions_that_differ
from realtime.redecode.pulls import Pull
from realtime.redecode.session import _Said
from tests.realtime.redecode.made import LABELS, bundle_for, noise, pulls_of, write_session

LOST = (range(3000, 3020), range(4000, 4300))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 s with a bridge, a cold start, a masked contact and a gain."""
    samples = noise(6)
    samples[2000:2100, 3] = np.nan
    pulls = [
        replace(p, gain_db=-6.0 if p.available > 101.5 else 0.0)
        for p in pulls_of(samples, lost=LOST)
    ]
    none = np.zeros((0, len(LABELS)), np.float32)
    pulls.insert(5, Pull(none, np.zeros(0), pulls[5].available - 0.001, 0, 0.0))
    return write_session(tmp_path_factory.mktemp("made") / "monday", bundle_for(), pulls)


def test_the_same_bits_and_a_folder_that_is_a_session(session: Path, tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []
    out = tmp_path / "again"
    summary = decode(Request(session, out), lambda done, total: told.append((done, total)))
    assert summary["identical"] is True
    assert (summary["bridged_samples"], summary["lost_samples"]) == (20, 320)
    assert summary["cold_starts"] == 1
    assert summary["masked_hops"] > 0
    run, recorded = read_run(out), read_run(session)
    assert ending(run.facts) == "decoded"
    assert run.mel.tobytes() == recorded.mel.tobytes()
    assert run.audio.tobytes() == recorded.audio.tobytes()
    for name in ("first_sample", "last_sample", "lsl_time", "available", "due", "masked"):
        np.testing.assert_array_equal(run.hops[name], recorded.hops[name])
    assert np.isnan(run.hops["handed_over"]).all()
    assert sorted(path.name for path in out.iterdir()) == [
        "audio.wav", "data", "events.jsonl", "session.h5", "summary.json",
    ]  # fmt: skip
    assert json.loads((out / "summary.json").read_text())["hops"] == len(run.hops)
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert events == run.events
    assert [e["event"] for e in events] == [e["event"] for e in recorded.events]
    # Of a decode there are no samples to decode.
    with pytest.raises(RecordingError, match=r"was itself decoded from .*monday"):
        decode(Request(out, tmp_path / "twice"))


def test_one_bit_of_one_sample_is_noticed(session: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(session, tmp_path / "other"))
    with h5py.File(other / "data" / "seeg-samples-0000.h5", "r+") as file:
        file["data"][3500, 2] = np.nextafter(file["data"][3500, 2], np.float32(1e9))
        file["data"][3500:3600, 2] += 5
    found = decode(Request(other, tmp_path / "out"))
    assert found["identical"] is False
    comparison = found["comparison"]
    # 20 samples never came; sample 3500 of the record is 3520 of the grid.
    assert comparison["first_differing_hop"] == int(3520 / 15.36)
    assert comparison["differing"]["mel"] > 0
    assert comparison["max_abs_mel"] > 0
    assert comparison["missing_hops"] == comparison["extra_hops"] == 0


def test_what_if(session: Path, tmp_path: Path) -> None:
    vocoder = decode(Request(session, tmp_path / "v", vocoder="rtisi"))
    assert (vocoder["identical"], vocoder["changed"]) == (None, ["vocoder"])
    assert vocoder["comparison"]["max_abs_mel"] == 0
    assert set(vocoder["comparison"]["differing"]) == {"audio"}
    mask = decode(Request(session, tmp_path / "m", mask=("A2", "A5")))
    assert mask["changed"] == ["mask"]
    assert mask["given_up_contacts"] == ["A2", "A5"]
    assert read_run(tmp_path / "m").mask[:, [1, 4]].all()
    assert mask["masked_hops"] == read_run(session).mask.any(axis=1).sum()
    bundle = decode(Request(session, tmp_path / "b", bundle=bundle_for(loudness=1.5)))
    assert bundle["changed"] == ["bundle"]
    assert bundle["comparison"]["differing"]["mel"] == bundle["hops"]


def test_another_calibration(session: Path, tmp_path: Path) -> None:
    bundle = load_bundle(Path(shutil.copytree(bundle_for(), tmp_path / "b")))
    tally = Tally(bundle)
    tally.feed(2 * noise(20, seed=4))
    today = write_calibration(bundle, tally.measured("moments"), {}, tmp_path / "today")
    found = decode(Request(session, tmp_path / "c", bundle.path, calibration=today.path))
    assert found["changed"] == ["calibration"]
    assert found["comparison"]["differing"]["mel"] > 0
    facts = today.facts()
    pulls = pulls_of(noise(2))
    own = write_session(tmp_path / "own", bundle.path, pulls, calibration=facts)
    # It was not decoded with it, so it cannot come out the same; but it is what is taken.
    assert decode(Request(own, tmp_path / "d"))["calibration"]["calibration_sha256"] == today.hash
    without = decode(Request(own, tmp_path / "e", calibration="none"))
    assert without["calibration"] is None
    assert without["comparison"]["identical"] is True
    shutil.rmtree(today.path)
    with pytest.raises(CalibrationError):
        decode(Request(own, tmp_path / "f"))


def test_other_versions_are_told_not_blamed(tmp_path: Path) -> None:
    then = {"cpu": "Z80", "versions": {"numpy": "1.0", "python": "3.11"}}
    now = {"cpu": "Z80", "versions": {"numpy": "2.0", "python": "3.11"}}
    assert versions_that_differ(then, now) == {"numpy": ("1.0", "2.0")}
    session = write_session(tmp_path / "s", bundle_for(), pulls_of(noise(1)), environment=then)
    found = decode(Request(session, tmp_path / "out"))
    assert found["versions_differ"]["cpu"][0] == "Z80"
    assert found["identical"] is True


def test_a_stream_that_took_anothers_place(tmp_path: Path) -> None:
    first, second = pulls_of(noise(2)), pulls_of(noise(2, seed=3), start=7.0)
    later = [replace(p, available=p.available + 96.5, stream=1) for p in second]
    session = write_session(tmp_path / "s", bundle_for(), [*first, *later])
    found = decode(Request(session, tmp_path / "out"))
    assert found["identical"] is True
    assert found["events"]["connected"] == 1
    assert found["cold_starts"] == 1


def test_a_network_that_gave_no_numbers_does_so_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its states were cleared in mid-stream, which no computing ahead can foresee."""
    step, at = Decoder.step, 350  # beyond the golden vectors

    def spoiled(self: Decoder, block: np.ndarray) -> np.ndarray:
        first, mel = self._hop, step(self, block)
        if first <= at < first + len(mel):
            mel[at - first] = np.nan
        return mel

    monkeypatch.setattr(Decoder, "step", spoiled)
    session = write_session(tmp_path / "s", bundle_for(), pulls_of(noise(6)))
    assert read_run(session).hops["finite"].sum() == len(read_run(session).hops) - 1 == 399
    found = decode(Request(session, tmp_path / "out"))
    assert found["identical"] is True
    assert found["not_finite_hops"] == 1


def test_samples_that_the_record_lost_are_told(tmp_path: Path) -> None:
    session = write_session(tmp_path / "s", bundle_for(), pulls_of(noise(3)))
    with h5py.File(session / "data" / "seeg-blocks-0000.h5", "r+") as file:
        rows = file["data"][()]
        rows["first"][40:] += 64
        file["data"][()] = rows
    found = decode(Request(session, tmp_path / "out"))
    assert "the record lacks 64 samples" in found["notes"][0]


def test_hops_of_a_killed_decoder_may_be_missing_in_the_record(tmp_path: Path) -> None:
    session = write_session(tmp_path / "s", bundle_for(), pulls_of(noise(1)))
    for name, ended in (("closed", "closed"), ("died", "decoder died")):
        copy = Path(shutil.copytree(session, tmp_path / name))
        hops = copy / "data" / "hops-times-0000.h5"
        with h5py.File(hops) as file:
            rows = file["data"][()]
        with h5py.File(copy / "session.h5", "r+") as file:
            file.attrs["ended"] = ended
            del file["hops/times"]
            file["hops/times"] = rows[:-2].astype(HOP)
        found = decode(Request(copy, tmp_path / f"{name}-out"))
        assert found["comparison"]["extra_hops"] == 2
        assert found["identical"] is (name == "died")


def test_layout_1_says_gain_and_stream_by_events() -> None:
    old = np.dtype([("available", "f8"), ("first", "i8"), ("row", "i8"), ("count", "i8")])
    rows = np.array([(t, 0, 0, 8) for t in (1.0, 2.0, 3.0, 4.0)], old)
    # Obeyed after the pull of 2.0, before its block was decoded; the new stream's first is 3.0.
    events = [{"event": "gain", "time": 2.5, "gain_db": -3.0}, {"event": "connected", "time": 3.0}]
    text = "".join(json.dumps(event) + "\n" for event in events).encode()
    with h5py.File("layout-1", "w", driver="core", backing_store=False) as file:
        file["seeg/blocks"] = rows
        file["events"] = np.frombuffer(text, np.uint8)
        said = _Said.of(file, {"limiter": {"gain_db": 1.0}})
        assert said.at(rows, 0) == ([0, 0, 1, 1], [1.0, -3.0, -3.0, -3.0])
        assert said.at(rows[2:], 2) == ([1, 1], [-3.0, -3.0])


Change = Callable[[Path], dict[str, object]]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"burst": 16}, SettingsError, "--burst for a session"),
        ({"unit": "mV", "stream": "x"}, SettingsError, "--unit and --stream for a session"),
        ({"mask": ("A1", "B7")}, SettingsError, "--mask B7"),
        ({"vocoder": "kazoo"}, SettingsError, "kazoo"),
        ({"calibration": "newest"}, CalibrationError, "no calibration"),
        ({"bundle": Path("nowhere")}, BundleError, "holds no SHA256SUMS"),
        ({"bundle": "of 512 Hz"}, MontageError, "has 1024 Hz; expected 512 Hz"),
        ({"bundle": "of others"}, MontageError, "1 of 8 contacts are missing: Z1"),
    ],
)
def test_what_does_not_fit_is_refused(
    session: Path, tmp_path: Path, options: dict[str, object], error: type, said: str
) -> None:
    others = {"of 512 Hz": (LABELS, 512), "of others": (("Z1", *LABELS[1:]), 1024)}
    if options.get("bundle") in others:
        options = {"bundle": bundle_for(*others[str(options["bundle"])])}
    with pytest.raises(error, match=said):
        decode(Request(session, tmp_path / "out", **options))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_is_another_now_is_refused(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundle_for(), tmp_path / "b"))
    session = write_session(tmp_path / "s", bundle, pulls_of(noise(1)))
    shutil.rmtree(bundle)
    with pytest.raises(BundleError, match=r"is not there; .*--bundle"):
        decode(Request(session, tmp_path / "out"))
    shutil.copytree(bundle_for(loudness=1.5), bundle)
    with pytest.raises(BundleError, match="is not the bundle that"):
        decode(Request(session, tmp_path / "out"))
    assert decode(Request(session, tmp_path / "out", bundle_for()))["identical"] is True


def test_nothing_is_replaced_unasked(session: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    decode(Request(session, out))
    with pytest.raises(BusyOutputError):
        decode(Request(session, out))
    before = os.stat(out / "session.h5").st_ino
    decode(Request(session, out, overwrite=True))
    assert os.stat(out / "session.h5").st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
