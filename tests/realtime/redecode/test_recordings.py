"""Recordings of any format, decoded as if they had come in bursts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from models.errors import MontageError, RecordingError, SeegvoxError, SettingsError
from models.spec import BundleSpec
from realtime.record.reading import read_run
from realtime.redecode import Request, decode
from realtime.redecode.bursts import in_bursts
from realtime.redecode.series import Part, Series
from tests.realtime.recordings.files import signal, write_brainvision, write_edf
from tests.realtime.redecode.made import FS, LABELS, bundle_for, noise, straight, write_xdf
from tests.xdf_files import Session

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"


def decoded(path: Path, out: Path, **options: object):
    """Summary and run."""
    bundle = options.pop("bundle", None) or bundle_for()
    summary = decode(Request(path, out, bundle, **options))  # type: ignore[arg-type]
    return summary, read_run(out)


@pytest.mark.parametrize("burst", [1, 16, 700])
def test_an_xdf_gives_what_its_samples_give(tmp_path: Path, burst: int) -> None:
    samples = noise(4)
    path = write_xdf(tmp_path / "r.xdf", samples)
    summary, run = decoded(path, tmp_path / "out", burst=burst)
    np.testing.assert_array_equal(run.mel, straight(bundle_for(), samples))
    assert summary["kind"] == "recording"
    assert summary["identical"] is None
    assert summary["decoded_s"] == pytest.approx(4, abs=0.015)
    assert (summary["lost_samples"], summary["cold_starts"]) == (0, 0)
    # A burst is here when its last sample was taken; the first hop is 16 samples.
    first_burst_end = 50.0 + (-(-16 // burst) * burst - 1) / FS
    assert run.hops["available"][0] == first_burst_end
    assert run.hops["lsl_time"][0] == 50.0 + 15 / FS


def test_gaps_are_bridged_or_started_cold_as_live(tmp_path: Path) -> None:
    kept = np.ones(6 * FS, bool)
    kept[3000:3020] = kept[4000:4400] = False
    stamps = 50.0 + np.flatnonzero(kept) / FS
    path = write_xdf(tmp_path / "r.xdf", noise(6)[kept], stamps)
    summary, run = decoded(path, tmp_path / "out")
    assert (summary["bridged_samples"], summary["lost_samples"]) == (20, 420)
    assert summary["cold_starts"] == 1
    # What follows stands where it belongs.
    assert run.hops["last_sample"][-1] == run.hops["index"][-1] * 15.36 // 1 + 15
    assert {"bridged", "gap", "cold start", "muted"} <= set(summary["events"])


def test_stamps_that_run_back_are_borne_and_counted(tmp_path: Path) -> None:
    samples = noise(4)
    stamps = 50.0 + np.arange(len(samples)) / FS
    stamps[3000:3020] -= 0.4
    # The same packet once more, with the stamps it had.
    samples = np.concatenate([samples[:3500], samples[3484:3500], samples[3500:]])
    stamps = np.concatenate([stamps[:3500], stamps[3484:3500], stamps[3500:]])
    summary, run = decoded(write_xdf(tmp_path / "r.xdf", samples, stamps), tmp_path / "out")
    assert summary["odd_stamps"] == 1
    assert summary["duplicate_samples"] == 16
    assert summary["cold_starts"] == 0
    assert "timestamps step back" in " ".join(summary["notes"])
    np.testing.assert_array_equal(run.mel, straight(bundle_for(), noise(4)))


def test_a_clock_that_was_reset_is_a_jump_and_time_goes_on(tmp_path: Path) -> None:
    made = Session(seconds=12, fs=1024, contacts=8, reset=(6.0, 3.0), audio=False)
    summary, run = decoded(made.write(tmp_path / "r.xdf"), tmp_path / "out")
    assert summary["events"]["clock jump"] == 1
    assert summary["cold_starts"] == 1
    # By the recorder's clock, which went on, while the stamps went back.
    assert (np.diff(run.hops["available"]) >= 0).all()
    assert np.diff(run.hops["lsl_time"]).min() < -1


def test_a_cut_file_is_decoded_up_to_the_cut_and_says_so(tmp_path: Path) -> None:
    whole = write_xdf(tmp_path / "whole.xdf", noise(6))
    cut = tmp_path / "cut.xdf"
    cut.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    summary, run = decoded(cut, tmp_path / "out")
    assert 3.4 < summary["decoded_s"] < 3.61
    assert "were left out: a chunk runs" in " ".join(summary["notes"])
    np.testing.assert_array_equal(run.mel, straight(bundle_for(), noise(6))[: len(run.mel)])


@pytest.mark.parametrize("kind", ["edf", "vhdr"])
def test_files_without_stamps_count_from_their_first_sample(tmp_path: Path, kind: str) -> None:
    values = signal(3 * FS, 8)
    path = tmp_path / f"r.{kind}"
    # Another order, and one more channel.
    order, labels = [7, 0, 1, 2, 3, 4, 5, 6], ["A8", *LABELS[:7]]
    if kind == "edf":
        write_edf(path, values[:, order], labels)
    else:
        write_brainvision(path, values[:, order], labels)
    summary, run = decoded(path, tmp_path / "out")
    assert run.hops["lsl_time"][0] == 15 / FS
    # Volts and back: an ulp of float32 at most, and the decoder's recurrence.
    np.testing.assert_allclose(run.mel, straight(bundle_for(), values.astype("f4")), atol=1e-3)
    assert summary["hops"] == 200


def test_units_and_contacts_can_be_stated(tmp_path: Path) -> None:
    samples = noise(3)
    path = write_xdf(tmp_path / "r.xdf", samples / 1000, unit="")
    with pytest.raises(RecordingError, match=r"the unit of A1, .* is not known .*--unit"):
        decoded(path, tmp_path / "out")
    _, run = decoded(path, tmp_path / "out", unit="mV")
    np.testing.assert_allclose(run.mel, straight(bundle_for(), samples), atol=1e-3)
    nameless = write_xdf(tmp_path / "n.xdf", samples[:, :7], labels=LABELS[:7])
    summary, run = decoded(nameless, tmp_path / "m", allow_missing=("A8",))
    assert summary["given_up_contacts"] == ["A8"]
    assert run.mask[:, 7].all()
    assert summary["masked_hops"] == 0
    with pytest.raises(RecordingError, match=r"amplitude of 0.0298 microvolts"):
        decoded(write_xdf(tmp_path / "w.xdf", samples / 1000), tmp_path / "x")


def test_one_of_several_streams_is_chosen_by_name(tmp_path: Path) -> None:
    streams = (("amp", "EEG"), ("scalp", "EEG"), ("voltage", "Misc"))
    path = write_xdf(tmp_path / "r.xdf", noise(1), streams=streams)
    with pytest.raises(RecordingError, match=r"2 streams .*'amp' .*'scalp'.*--stream NAME"):
        decoded(path, tmp_path / "out")
    for name in ("scalp", "voltage"):
        assert decoded(path, tmp_path / name, stream=name)[0]["hops"] == 66


def _text(path: Path) -> Path:
    path.write_text("time,a,b\n1,2,3\n")
    return path


BAD = {
    "text": (_text, RecordingError, "an XDF file, which begins with"),
    "no sEEG": (
        lambda p: write_xdf(p, noise(1), streams=(("force", "Misc"),)),
        RecordingError,
        "has no sEEG stream; it holds 'force'",
    ),
    "no samples": (
        lambda p: write_xdf(p, noise(1)[:0]),
        RecordingError,
        "holds no samples of sEEG; expected at least 16, one hop",
    ),
    "too short": (lambda p: write_xdf(p, noise(1)[:9]), RecordingError, "holds 9 samples"),
    "other contacts": (
        lambda p: write_xdf(p, noise(1), labels=tuple(f"B{n}" for n in range(8))),
        MontageError,
        "8 of 8 contacts are missing: A1",
    ),
    "no labels": (lambda p: write_xdf(p, noise(1), labels=()), MontageError, "names none of its"),
    "another rate": (
        lambda p: write_xdf(p, noise(1), fs_hz=2048),
        MontageError,
        "has 2048 Hz; expected 1024 Hz",
    ),
    "irregular": (
        lambda p: write_xdf(p, noise(1), np.arange(1024.0), fs_hz=0),
        MontageError,
        "no regular",
    ),
    "not there": (lambda p: p, RecordingError, "does not exist"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_and_nothing_is_left(tmp_path: Path, kind: str) -> None:
    make, error, said = BAD[kind]
    path = make(tmp_path / "bad.xdf")
    with pytest.raises(error, match=said):
        decoded(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] in (["bad.xdf"], [])


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = write_xdf(tmp_path / "r.xdf", noise(1))
    with pytest.raises(SettingsError, match="no bundle for"):
        decode(Request(path, tmp_path / "out"))
    with pytest.raises(SettingsError, match="--burst 0"):
        decoded(path, tmp_path / "out", burst=0)
    edf = write_edf(tmp_path / "r.edf", signal(2048, 8), LABELS)
    with pytest.raises(RecordingError, match=r"--stream for r.edf"):
        decoded(edf, tmp_path / "out", stream="amp")
    with pytest.raises(SeegvoxError, match="no channels A8"):
        decoded(write_edf(tmp_path / "s.edf", signal(2048, 7), LABELS[:7]), tmp_path / "out")


def series_of(count: int, *cuts: int) -> Series:
    """One contact that holds its own index, in parts cut anywhere."""
    spec = BundleSpec(name="x", contacts=("A1",), fs_hz=FS, stride=10)

    def parts():
        for start, stop in zip((0, *cuts), (*cuts, count), strict=True):
            numbers = np.arange(start, stop, dtype=np.float64)
            yield Part(numbers.astype(np.float32)[:, None], numbers / FS, numbers / FS)

    return Series(Path("x"), spec.contacts, spec.fs_hz, count, parts)


@pytest.mark.parametrize("cuts", [(), (5, 6, 900), (100, 101, 333)])
@pytest.mark.parametrize("burst", [1, 32, 600])
def test_bursts_do_not_depend_on_how_a_file_is_read(cuts: tuple[int, ...], burst: int) -> None:
    pulls = list(in_bursts(series_of(1000, *cuts), burst))
    whole = [p for p in pulls if len(p.timestamps)]
    np.testing.assert_array_equal(np.concatenate([p.samples[:, 0] for p in whole]), np.arange(1000))
    assert max(len(p.timestamps) for p in whole) <= 256
    times = [p.available for p in pulls]
    assert times == sorted(times)
    last = {p.available: p.timestamps[-1] for p in whole}
    assert all(taken == here for here, taken in last.items())
    # 600 samples take 0.59 s, in which pulls of 20 ms bring nothing.
    assert any(not len(p.timestamps) for p in pulls) == (burst > 20)


# --- real files ---------------------------------------------------------------------------------


def shared(name: str) -> Path:
    if not (SHARED / name).exists():
        pytest.skip(f"no shared data: {SHARED / name}")
    return SHARED / name


@pytest.mark.shared_data
def test_five_minutes_of_real_contacts(tmp_path: Path) -> None:
    import h5py

    real, none = ("H1", "H2", "H3"), ("N1", "N2", "N3", "N4", "N5")
    with h5py.File(shared("ripplelab_ieeg_3x300s") / "TestFile_01.mat") as file:
        data = np.asarray(file["Data"], np.float32)
    samples = np.ascontiguousarray(data if data.shape[1] == 3 else data.T)
    path = write_xdf(tmp_path / "r.xdf", samples, labels=real)
    summary, run = decoded(
        path, tmp_path / "out", bundle=bundle_for((*real, *none)), allow_missing=none
    )
    assert summary["decoded_s"] == pytest.approx(len(samples) / FS, abs=0.015)
    assert (summary["cold_starts"], summary["lost_samples"]) == (0, 0)
    assert np.isfinite(run.mel).all()
    # The guard's masks are for artefacts: on this they must stay rare.
    assert summary["masked_hops"] < 0.05 * summary["hops"]


@pytest.mark.shared_data
def test_a_header_with_the_wrong_unit_is_noticed_and_can_be_corrected(tmp_path: Path) -> None:
    folder = shared("pyneuromod_ecog_lfp_19s")
    header = next(folder.glob("*_ieeg.vhdr"))
    labels = tuple(re.findall(r"^Ch\d+=([^,]*)", header.read_text(), re.MULTILINE))[:8]
    bundle = bundle_for(labels, 1000)
    with pytest.raises(RecordingError, match="state the true unit"):
        decoded(header, tmp_path / "out", bundle=bundle)
    summary, run = decoded(folder, tmp_path / "out", bundle=bundle, unit=1.0)
    assert summary["decoded_s"] == pytest.approx(19, abs=0.5)
    assert np.isfinite(run.mel).all()


@pytest.mark.shared_data
def test_a_bids_folder_at_another_rate_is_refused(tmp_path: Path) -> None:
    folder = shared("zurich_seeg_hfo_5s")
    labels = ("IAR1", *(f"AHR{n}" for n in range(1, 8)))
    with pytest.raises(MontageError, match="has 2000 Hz; expected 1024 Hz"):
        decoded(folder, tmp_path / "out", bundle=bundle_for(labels))


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["clock_resets.xdf", "minimal.xdf", "empty_streams.xdf"])
def test_xdf_files_that_hold_no_such_montage_say_what_they_hold(tmp_path: Path, name: str) -> None:
    path = shared("xdf_example_files") / name
    with pytest.raises((RecordingError, MontageError)) as error:
        decoded(path, tmp_path / "out")
    assert str(path) in str(error.value)
    assert list(tmp_path.iterdir()) == []
