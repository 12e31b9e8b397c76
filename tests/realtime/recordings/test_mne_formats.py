"""EDF, BrainVision, FIF, Nihon Kohden and Micromed: the real files, and faults built in by hand."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from models.errors import RecordingError
from realtime.recordings import Trial, read_recording
from tests.realtime.recordings.files import signal, write_brainvision, write_edf, write_table

mne = pytest.importorskip("mne", reason="needs the extra 'formats'")

SHARED = Path(__file__).parents[3].parent / "shared/data"
LABELS = ["LA1", "LA2", "LA3", "LB1"]


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is absent: real recordings are not part of the repository")
    return path


# -- the real files; what to expect is in the README beside them


@pytest.mark.shared_data
def test_zurich_brainvision_with_a_byte_order_mark():
    folder = shared("zurich_seeg_hfo_5s")
    found = read_recording(folder)
    stored = np.fromfile(next(folder.glob("*.eeg")), "<f4").reshape(-1, 50)
    # Resolution 0.1 uV in the header; float32 rounds after MNE's way through volts.
    np.testing.assert_allclose(found.seeg, stored * 0.1, rtol=1e-6, atol=1e-6)
    assert (found.fs, found.line_hz, len(found.labels)) == (2000, 50.0, 50)
    assert found.labels[:2] == ("IAR1", "IAR2")
    assert found.trials[0] == Trial(0.0015, 0.016, "fr_PHR1-2")
    notes = " ".join(found.notes)
    assert "'µV', channels.tsv 'V'" in notes and "no audio" in notes


@pytest.mark.shared_data
def test_naplib_edf_leaves_out_what_is_no_contact():
    file = shared("naplib_ecog_depth_2s/tiny_test.edf")
    found = read_recording(file)
    assert found.seeg.shape == (4096, 104) and found.fs == 2048
    assert (found.labels[0], found.labels[-1]) == ("G1", "DPMT8")
    assert "EKGL, EKGR, DC1, DC2, DC3, DC4, DC5, TRIG, OSAT, PR, Pleth" in " ".join(found.notes)
    # 16 records of 256 samples, 115 signals; digital to physical by the header's limits.
    content = file.read_bytes()
    head = 256 * 116
    limits = [
        [float(content[256 + 115 * at + 8 * i :][:8]) for i in range(115)]
        for at in (104, 112, 120, 128)
    ]
    low, high, digital_low, digital_high = np.array(limits)
    raw = np.frombuffer(content, "<i2", 16 * 115 * 256, head).reshape(16, 115, 256)
    gain = (high - low) / (digital_high - digital_low)
    physical = (raw.transpose(0, 2, 1).reshape(-1, 115) - digital_low) * gain + low
    np.testing.assert_allclose(found.seeg, physical[:, :104], rtol=1e-5, atol=1e-3)


@pytest.mark.shared_data
def test_pyneuromod_unit_is_refused_and_can_be_stated():
    folder = shared("pyneuromod_ecog_lfp_19s")
    with pytest.raises(RecordingError, match="in µV: the contacts would have") as caught:
        read_recording(folder)
    assert "unit=1e-06" in str(caught.value) and "\n" not in str(caught.value)
    found = read_recording(folder, unit=1e-6)
    assert found.seeg.shape == (19001, 9) and found.fs == 1000
    stored = np.fromfile(next(folder.glob("*.eeg")), "<f4").reshape(-1, 10)
    np.testing.assert_allclose(found.seeg, stored[:, :9] * 0.1e-6, rtol=1e-6)
    assert "no contacts, left out: MOV_RIGHT" in found.notes


@pytest.mark.shared_data
def test_micromed():
    file = shared("micromed_trc_trex/EEG_496790.TRC")
    found = read_recording(file)
    assert found.fs == 256 and found.seeg.shape == (8368, 24)
    assert found.labels[:3] == ("Fp1", "Fpz", "Fp2")
    assert "EMG1+" in " ".join(found.notes) and "MKR+" in " ".join(found.notes)
    # 36 channels of 16 bits at the end of the file; 0.09765625 uV each, zero at 32768.
    stored = np.frombuffer(file.read_bytes()[-8368 * 72 :], "<u2").reshape(-1, 36)[:, :24]
    np.testing.assert_allclose(found.seeg, stored * 0.09765625 - 3200, rtol=1e-6)


@pytest.mark.shared_data
def test_nihon_kohden_agrees_with_its_own_edf_export():
    native = read_recording(shared("nihonkohden_mne/MB0400FU.EEG"))
    export = read_recording(shared("nihonkohden_mne/MB0400FU.EDF"))
    assert native.fs == export.fs == 200 and native.seeg.shape == (5800, 21)
    names = [f"EEG {label}-Ref" for label in native.labels]
    columns = [export.labels.index(name) for name in names]
    # The export rounds to its own digital limits; a step is 0.1 uV.
    np.testing.assert_allclose(native.seeg, export.seeg[:, columns], atol=0.1)
    left = next(note for note in export.notes if note.startswith("no contacts"))
    assert left == "no contacts, left out: POL E, POL $A2, POL $A1"


@pytest.mark.shared_data
def test_fif_types_win_over_names():
    found = read_recording(shared("mne_misc_ecog_0.7s/sample_ecog_ieeg.fif"))
    assert found.seeg.shape == (113, 394) and found.fs == 160
    assert "DC1" in found.labels  # a shaft called DC, typed sEEG
    assert "kept as contacts for their type" in " ".join(found.notes)


@pytest.mark.shared_data
def test_a_truncated_real_file_is_refused_or_noted(tmp_path):
    for name, keep in (
        ("mne_misc_ecog_0.7s/sample_ecog_ieeg.fif", 0.6),
        ("nihonkohden_mne/MB0400FU.EEG", 0.01),
        ("micromed_trc_trex/EEG_496790.TRC", 0.0002),
        ("naplib_ecog_depth_2s/tiny_test.edf", 0.02),
    ):
        whole = shared(name).read_bytes()
        cut = tmp_path / Path(name).name
        cut.write_bytes(whole[: int(keep * len(whole))])
        with pytest.raises(RecordingError) as caught:
            read_recording(cut)
        assert cut.name in str(caught.value) and "\n" not in str(caught.value)
    whole = shared("micromed_trc_trex/EEG_496790.TRC").read_bytes()
    cut.with_suffix(".TRC").write_bytes(whole[:-10])
    found = read_recording(cut.with_suffix(".TRC"))
    assert len(found.seeg) == 8367 and "lacks some contacts" in found.notes[0]


# -- round trips


@pytest.fixture
def values():
    return signal()


@pytest.mark.parametrize("suffix", [".edf", ".vhdr", ".fif", ".set"])
def test_values_arrive_in_microvolts(suffix, values, tmp_path):
    file = tmp_path / f"sub-01_task-x_ieeg{suffix}"
    if suffix == ".edf":
        write_edf(file, values, LABELS)
    elif suffix == ".vhdr":
        write_brainvision(file, values, LABELS)
    else:
        info = mne.create_info(LABELS, 1024.0, "seeg")
        raw = mne.io.RawArray(values.T * 1e-6, info, verbose="ERROR")
        if suffix == ".fif":
            raw.save(file, fmt="double", verbose="ERROR")
        else:
            scipy_set(file, values)
    found = read_recording(file)
    np.testing.assert_allclose(found.seeg, values, rtol=1e-6, atol=1e-6)
    assert (found.fs, found.labels) == (Fraction(1024), tuple(LABELS))
    assert found.seeg.dtype == np.float32 and found.path == file


def scipy_set(file, values):
    """EEGLAB keeps microvolts in a MATLAB file."""
    from scipy.io import savemat

    places = np.array([(label,) for label in LABELS], dtype=[("labels", object)])
    eeg = {
        "data": values.T, "srate": 1024.0, "nbchan": 4, "pnts": len(values), "trials": 1,
        "xmin": 0.0, "xmax": (len(values) - 1) / 1024, "chanlocs": places, "event": [],
        "setname": "x", "icawinv": [], "icaweights": [], "icasphere": [], "icaact": [],
        "epoch": [],
    }  # fmt: skip
    savemat(file, {"EEG": eeg}, appendmat=False)


@pytest.mark.parametrize(("unit", "microvolts"), [("mV", 1e3), ("V", 1e6), ("nV", 1e-3)])
def test_units_of_a_brainvision_header(unit, microvolts, values, tmp_path):
    file = write_brainvision(tmp_path / "x.vhdr", values / microvolts, LABELS, unit=unit)
    np.testing.assert_allclose(read_recording(file).seeg, values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("unit", "microvolts"), [("mV", 1e3), ("nV", 1e-3)])
def test_units_of_an_edf_header(unit, microvolts, tmp_path):
    """EDF holds integers: five of the one, or five thousand of the other, are plausible."""
    values = signal(scale=5.0 if unit == "mV" else 5000.0)
    file = write_edf(tmp_path / "x.edf", values, LABELS, unit=unit)
    np.testing.assert_allclose(read_recording(file).seeg, values * microvolts, rtol=1e-6)


def test_an_edf_in_volts_is_no_seeg(tmp_path):
    file = write_edf(tmp_path / "x.edf", signal(), LABELS, unit="V")
    with pytest.raises(RecordingError, match=r"in V: the contacts would have .*unit=1"):
        read_recording(file)


@pytest.mark.parametrize("unit", ["", "mmHg"])
def test_a_header_without_a_unit_asks_for_it(unit, values, tmp_path):
    file = write_edf(tmp_path / "x.edf", values, LABELS, unit=unit)
    with pytest.raises(RecordingError, match="unit of LA1, LA2, LA3, LB1 is not known") as caught:
        read_recording(file)
    assert "unit='uV'" in str(caught.value)
    np.testing.assert_allclose(read_recording(file, unit="uV").seeg, values, rtol=1e-6)
    np.testing.assert_allclose(read_recording(file, unit=2.0).seeg, values * 2, rtol=1e-6)


def test_a_stated_unit_wins_over_the_header(values, tmp_path):
    file = write_brainvision(tmp_path / "x.vhdr", values * 1e-3, LABELS)
    with pytest.raises(RecordingError, match=r"0\.0.* microvolts"):
        read_recording(file)
    found = read_recording(file, unit="mV").seeg
    np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-5)


# -- channels


def test_channels_tsv_types_and_status(values, tmp_path):
    file = write_brainvision(
        tmp_path / "sub-01_ieeg.vhdr", values, ["LA1", "Oz", "DC1", "LB1"], fs=1000
    )
    table = [("LA1", "SEEG", "bad"), ("Oz", "EEG", "good"), ("DC1", "SEEG", "n/a"),
             ("LB1", "SEEG", "good")]  # fmt: skip
    write_table(tmp_path / "sub-01_channels.tsv", ("name", "type", "status"), table, "utf-8-sig")
    (tmp_path / "sub-01_ieeg.json").write_text('{"PowerLineFrequency": 60}', "utf-8-sig")
    found = read_recording(file, bad_contacts=["LB1"])
    assert found.labels == ("LA1", "DC1", "LB1")
    assert found.bad_contacts == ("LA1", "LB1") and found.line_hz == 60.0
    assert "no contacts, left out: Oz" in found.notes
    assert read_recording(file, line_hz=50.0).line_hz == 50.0
    with pytest.raises(RecordingError, match="does not have: LX9; expected some of: LA1"):
        read_recording(file, bad_contacts=["LX9"])


def test_contacts_can_be_named(values, tmp_path):
    file = write_edf(tmp_path / "x.edf", values, ["LA1", "EKG", "LA3", "LB1"])
    found = read_recording(file, contacts=["LB1", "EKG"])
    assert found.labels == ("LB1", "EKG")
    np.testing.assert_allclose(found.seeg, values[:, [3, 1]], rtol=1e-6)
    with pytest.raises(RecordingError, match="no channels LC1; expected some of: LA1, EKG"):
        read_recording(file, contacts=["LC1"])


def test_no_contact_at_all_is_refused(values, tmp_path):
    file = write_edf(tmp_path / "x.edf", values, ["EKG", "DC1", "TRIG", "MKR+"])
    with pytest.raises(RecordingError, match=r"none of the 4 channels .* EKG \(EEG\)"):
        read_recording(file)


@pytest.mark.parametrize("suffix", [".edf", ".vhdr"])
def test_duplicate_labels_are_refused(suffix, values, tmp_path):
    write = write_edf if suffix == ".edf" else write_brainvision
    file = write(tmp_path / f"x{suffix}", values, ["LA1", "LA2", "LA1", "LB1"])
    with pytest.raises(RecordingError, match=r"more than once.*LA1") as caught:
        read_recording(file)
    assert "\n" not in str(caught.value)


def test_a_sidecar_that_lists_a_channel_twice(values, tmp_path):
    file = write_edf(tmp_path / "x.edf", values, LABELS)
    rows = [(name, "SEEG") for name in [*LABELS, "LA1"]]
    write_table(tmp_path / "x_channels.tsv", ("name", "type"), rows)
    with pytest.raises(RecordingError, match="lists LA1 more than once"):
        read_recording(file)


def test_slow_auxiliary_channels_do_not_touch_the_contacts(values, tmp_path):
    file = write_edf(tmp_path / "x.edf", values, LABELS, slow=[1, 2, 3, 4])
    found = read_recording(file)
    np.testing.assert_allclose(found.seeg, values, rtol=1e-6)
    assert found.fs == 1024 and "no contacts, left out: DC1" in found.notes
    with pytest.raises(RecordingError, match="different sampling rates: 1, 1024 Hz"):
        read_recording(file, contacts=["LA1", "DC1"])


# -- time


def test_a_rate_that_the_sidecar_denies(values, tmp_path):
    file = write_edf(tmp_path / "sub-01_ieeg.edf", values, LABELS)
    (tmp_path / "sub-01_ieeg.json").write_text('{"SamplingFrequency": 2048}')
    with pytest.raises(RecordingError, match=r"sampled at 1024 Hz, sub-01_ieeg.json says 2048 Hz"):
        read_recording(file)
    (tmp_path / "sub-01_ieeg.json").unlink()
    rows = [(name, 512) for name in LABELS]
    write_table(tmp_path / "sub-01_channels.tsv", ("name", "sampling_frequency"), rows)
    with pytest.raises(RecordingError, match=r"sub-01_channels.tsv says 512 Hz"):
        read_recording(file)


@pytest.mark.parametrize(("fs", "expected"), [(1024, 1024), (499.907, Fraction(499_907, 1000))])
def test_odd_rates_are_kept_and_rounded_ones_restored(fs, expected, values, tmp_path):
    """An interval of 976.562 us is 1024 Hz; 499.907 Hz is what some amplifiers really have."""
    file = write_brainvision(tmp_path / "x.vhdr", values, LABELS, fs=fs)
    text = file.read_text()
    file.write_text(text.replace(f"={1e6 / fs}", f"={1e6 / fs:.3f}"))
    # Three digits of a microsecond leave 5e-7 of the rate.
    assert float(read_recording(file).fs) == pytest.approx(float(expected), rel=1e-6)


def test_pauses_are_refused(values, tmp_path):
    good = write_edf(tmp_path / "a.edf", values, LABELS, reserved="EDF+D", clock=[0, 1, 2, 3])
    np.testing.assert_allclose(read_recording(good).seeg, values, rtol=1e-6)
    paused = write_edf(tmp_path / "b.edf", values, LABELS, reserved="EDF+D", clock=[0, 1, 61, 62])
    with pytest.raises(RecordingError, match=r"pauses for 59.000 s after 2 records \(2 s\)"):
        read_recording(paused)


def test_joined_parts_are_refused(values, tmp_path):
    info = mne.create_info(LABELS, 1024.0, "seeg")
    parts = [mne.io.RawArray(values.T * 1e-6, info, verbose="ERROR") for _ in range(2)]
    joined = mne.concatenate_raws(parts, verbose="ERROR")
    file = tmp_path / "x_raw.fif"
    joined.save(file, verbose="ERROR")
    with pytest.raises(RecordingError, match=r"paused or joined at .*4\.00 s"):
        read_recording(file)


def test_a_fif_that_starts_late_counts_from_its_first_sample(values, tmp_path):
    info = mne.create_info(LABELS, 1024.0, "seeg")
    raw = mne.io.RawArray(values.T * 1e-6, info, verbose="ERROR")
    raw.set_meas_date(0)
    raw.set_annotations(mne.Annotations([2.0], [0.5], ["huis"], orig_time=raw.info["meas_date"]))
    raw.crop(1.0).save(tmp_path / "x_raw.fif", verbose="ERROR")
    found = read_recording(tmp_path / "x_raw.fif")
    assert found.trials == (Trial(pytest.approx(1.0, abs=1e-3), 0.5, "huis"),)


# -- trials


def test_trials_from_marks_and_from_pairs_of_marks(values, tmp_path):
    marks = [("Comment", "boom", 1024, 512), ("Comment", "start;huis", 2048, 1),
             ("Comment", "end;huis", 3072, 1), ("Stimulus", "S  1", 100, 1)]  # fmt: skip
    file = write_brainvision(tmp_path / "x.vhdr", values, LABELS, markers=marks)
    found = read_recording(file)
    assert found.trials == (Trial(1.0, 0.5, "boom"), Trial(2.0, 1.0, "huis"))
    assert "'S  1' (1)" in " ".join(found.notes)


def test_events_tsv_wins_and_can_be_named(values, tmp_path):
    marks = [("Comment", "boom", 1024, 512)]
    file = write_brainvision(tmp_path / "sub-01_ieeg.vhdr", values, LABELS, markers=marks)
    header = ("onset", "duration", "trial_type", "value")
    rows = [(0.5, 1, "word", "huis"), (1.5, 1, "fixation", "+"), (2.5, "n/a", "word", "kat"),
            (2.5, 1, "zin", "7")]  # fmt: skip
    write_table(tmp_path / "sub-01_events.tsv", header, rows, "utf-8-sig")
    found = read_recording(file)
    assert found.trials == (Trial(0.5, 1.0, "huis"), Trial(2.5, 1.0, "zin"))
    assert "1 trials without duration" in " ".join(found.notes)
    other = write_table(tmp_path / "mine.tsv", header, [(1, 1, "word", "muis")])
    assert read_recording(file, events=other).trials == (Trial(1.0, 1.0, "muis"),)
    with pytest.raises(RecordingError, match=r"nothing.tsv does not exist"):
        read_recording(file, events=tmp_path / "nothing.tsv")


def test_sidecars_above_the_file_are_inherited(values, tmp_path):
    folder = tmp_path / "sub-01/ieeg"
    folder.mkdir(parents=True)
    file = write_edf(folder / "sub-01_task-x_run-01_ieeg.edf", values, LABELS)
    (tmp_path / "task-x_ieeg.json").write_text('{"PowerLineFrequency": 60}')
    (tmp_path / "task-y_ieeg.json").write_text('{"PowerLineFrequency": 50}')
    found = read_recording(tmp_path)
    assert found.path == file and found.line_hz == 60.0


# -- what is missing or cut


def test_missing_values_stay_missing_and_are_noted(values, tmp_path):
    holes = values.copy()
    holes[1000:2024, 1] = np.nan
    holes[7, 2] = np.nan  # one sample of one contact
    file = write_brainvision(tmp_path / "x.vhdr", holes, LABELS)
    found = read_recording(file)
    np.testing.assert_array_equal(np.isnan(found.seeg), np.isnan(holes))
    note = "values are missing (NaN) in LA2 (1024 samples, 1 s), LA3 (1 samples, 0.000977 s)"
    assert note in found.notes


def test_a_contact_without_its_last_sample(values, tmp_path):
    file = write_brainvision(tmp_path / "x.vhdr", values, LABELS)
    data = file.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[:-4])
    found = read_recording(file)
    np.testing.assert_allclose(found.seeg, values[:-1], rtol=1e-6, atol=1e-6)
    assert "lacks some contacts" in " ".join(found.notes)


def test_cut_contact_after_contact_is_refused(values, tmp_path):
    file = write_brainvision(tmp_path / "x.vhdr", values, LABELS, orientation="VECTORIZED",
                             points=len(values))  # fmt: skip
    np.testing.assert_allclose(read_recording(file).seeg, values, rtol=1e-6, atol=1e-6)
    data = file.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[:-16])
    with pytest.raises(RecordingError, match="truncated"):
        read_recording(file)


def test_truncated_files_say_how_much_is_left(values, tmp_path):
    edf = write_edf(tmp_path / "x.edf", values, LABELS)
    edf.write_bytes(edf.read_bytes()[: 256 * 5 + 2 * 4096 * 2])
    found = read_recording(edf)
    np.testing.assert_allclose(found.seeg, values[:2048], rtol=1e-6)
    assert "does not match the file size" in " ".join(found.notes)
    vision = write_brainvision(tmp_path / "y.vhdr", values, LABELS, points=5000)
    assert "truncated after 4096 of 5000 samples" in " ".join(read_recording(vision).notes)


@pytest.mark.parametrize("keep", [0, 100, 300, 256 * 5])
def test_a_header_without_samples(keep, values, tmp_path):
    file = write_edf(tmp_path / "x.edf", values, LABELS)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(RecordingError, match=r"x\.edf") as caught:
        read_recording(file)
    assert "\n" not in str(caught.value)


def test_brainvision_files_that_lost_each_other(values, tmp_path):
    file = write_brainvision(tmp_path / "x.vhdr", values, LABELS)
    assert read_recording(tmp_path / "x.eeg").path == file
    file.with_suffix(".eeg").rename(tmp_path / "y.eeg")
    with pytest.raises(RecordingError, match=r"'x\.eeg', which is not there"):
        read_recording(file)


def test_an_unknown_format_is_one_line(tmp_path):
    file = tmp_path / "notes.docx"
    file.write_bytes(b"PK")
    with pytest.raises(RecordingError, match="a format that MNE reads") as caught:
        read_recording(file)
    assert "\n" not in str(caught.value)
