"""NWB whose clocks, units, types or audio are not what they should be."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from models.errors import RecordingError
from realtime.recordings import Recording, Trial, read_recording
from training.nwb import write_recording

h5py = pytest.importorskip("h5py", reason="needs the extra 'formats'")
pytest.importorskip("pynwb", reason="needs the extra 'formats'")

FS, SECONDS, RATE = 1024, 6, 48_000
LABELS = ("LA1", "LA2", "LB1")


@pytest.fixture(scope="module")
def original():
    rng = np.random.default_rng(0)
    return Recording(
        path=Path(),
        seeg=np.round(rng.normal(0, 30, (FS * SECONDS, 3))).astype(np.float32),
        fs=Fraction(FS),
        labels=LABELS,
        audio=rng.normal(0, 0.01, RATE * SECONDS).astype(np.float32),
        audio_rate=float(RATE),
        audio_start_s=0.0,
        trials=(Trial(1.0, 1.0, "huis"), Trial(4.0, 1.5, "kat")),
    )


@pytest.fixture
def file(original, tmp_path):
    return write_recording(original, tmp_path)


def edit(file, change):
    with h5py.File(file, "r+") as nwb:
        change(nwb["acquisition"])


def sidecar(file, kind):
    return file.with_name(file.name.replace("_ieeg.nwb", f"_{kind}"))


@pytest.mark.parametrize("series", ["iEEG", "Audio"])
def test_a_gap_in_the_timestamps_is_refused(file, series):
    """Half a second was not recorded: everything after it would be early."""

    def change(acquisition):
        stamps = acquisition[f"{series}/timestamps"][:]
        stamps[len(stamps) // 2 :] += 0.5
        acquisition[f"{series}/timestamps"][:] = stamps

    edit(file, change)
    with pytest.raises(RecordingError, match=rf"{series} jump by 0.500 s, \d\.\d s after"):
        read_recording(file)


def test_bursts_that_hide_the_true_rate_are_refused(file):
    """32 samples 1/1024 s apart, then a pause, so that only 1000 come in a second."""

    def change(acquisition):
        count = len(acquisition["iEEG/timestamps"])
        burst, inside = np.divmod(np.arange(count), 32)
        acquisition["iEEG/timestamps"][:] = burst * 0.032 + inside / 1024

    edit(file, change)
    with pytest.raises(RecordingError, match=r"stand 1/1024 s apart, but 1000\.\d\d come"):
        read_recording(file)


def test_timestamps_know_better_than_the_sidecar(file):
    settings = sidecar(file, "ieeg.json")
    settings.write_text(settings.read_text().replace("1024.0", "2048.0"))
    found = read_recording(file)
    assert found.fs == 1024
    assert "json says 2048 Hz; the timestamps were followed" in " ".join(found.notes)


def test_sidecars_tell_the_mains_bad_contacts_and_types(file, original):
    listing = sidecar(file, "channels.tsv")
    lines = listing.read_text().splitlines()
    rows = [f"{lines[0]}\tstatus", f"{lines[1]}\tgood", f"{lines[2]}\tbad", f"{lines[3]}\tgood"]
    rows[3] = rows[3].replace("SEEG", "MISC")
    listing.write_text("\n".join(rows) + "\n", encoding="utf-8-sig")
    found = read_recording(file)
    assert (found.labels, found.bad_contacts, found.line_hz) == (("LA1", "LA2"), ("LA2",), 50.0)
    assert "no contacts, left out: LB1" in found.notes
    np.testing.assert_array_equal(found.seeg, original.seeg[:, :2])
    found = read_recording(file, contacts=["LB1", "LA1"], bad_contacts=["LB1"])
    np.testing.assert_array_equal(found.seeg, original.seeg[:, [2, 0]])
    assert found.bad_contacts == ("LB1",)


def test_types_that_say_eeg_of_contacts(file):
    """What the public Zurich recordings do."""
    listing = sidecar(file, "channels.tsv")
    listing.write_text(listing.read_text().replace("SEEG", "EEG"))
    found = read_recording(file)
    assert found.labels == LABELS and "3 were taken by name" in " ".join(found.notes)


def test_an_implausible_unit_is_refused_and_can_be_stated(file, original):
    edit(file, lambda series: series["iEEG/data"].attrs.update(unit="mV"))
    listing = sidecar(file, "channels.tsv")
    listing.write_text(listing.read_text().replace("microvolts", "n/a"))
    with pytest.raises(RecordingError, match=r"\(30(\.\d)? with unit=1\)") as caught:
        read_recording(file)
    assert "state the true unit" in str(caught.value)
    np.testing.assert_array_equal(read_recording(file, unit="uV").seeg, original.seeg)
    np.testing.assert_array_equal(read_recording(file, unit=1).seeg, original.seeg)


def test_missing_values_are_kept_and_noted(file):
    def change(acquisition):
        acquisition["iEEG/data"][100:612, 1] = np.nan
        acquisition["iEEG/data"][7, 0] = np.nan

    edit(file, change)
    found = read_recording(file)
    assert np.isnan(found.seeg).sum() == 513
    note = "values are missing (NaN) in LA2 (512 samples, 0.5 s), LA1 (1 samples, 0.000977 s)"
    assert note in found.notes


def test_audio_may_come_from_a_file_instead(file):
    soundfile = pytest.importorskip("soundfile")
    sound = np.random.default_rng(1).normal(0, 0.1, 44_100 * SECONDS).astype(np.float32)
    soundfile.write(file.with_name("a.wav"), sound, 44_100, subtype="FLOAT")
    edit(file, lambda series: series.__delitem__("Audio"))
    with pytest.raises(RecordingError, match="no series 'Audio'"):
        read_recording(file)
    found = read_recording(file, audio=file.with_name("a.wav"), audio_offset_s=0.01)
    np.testing.assert_array_equal(found.audio, sound)
    assert (found.audio_rate, found.audio_start_s) == (44_100, 0.01)
    assert len(found.trials) == 2


def test_two_channels_of_audio_one_silent(file, original):
    def change(acquisition):
        sound = acquisition["Audio/data"][:]
        del acquisition["Audio/data"]
        acquisition["Audio/data"] = np.stack([np.zeros_like(sound), sound], axis=1)

    edit(file, change)
    found = read_recording(file)
    np.testing.assert_allclose(found.audio, original.audio, atol=0.51 / 32768)
    assert "audio channel 1 of 2 is silent and was left out" in found.notes


def test_silent_audio_is_noted(original, tmp_path):
    silent = replace(original, audio=np.zeros_like(original.audio))
    assert "the audio is silent" in read_recording(write_recording(silent, tmp_path)).notes


@pytest.mark.parametrize("shift_s", [0.0, 2.0])
def test_audio_that_ends_early_takes_its_trials_with_it(original, tmp_path, shift_s):
    short = replace(original, audio=original.audio[: 3 * RATE], audio_start_s=shift_s)
    found = read_recording(write_recording(short, tmp_path))
    covers = f"audio covers {shift_s:.2f}-{shift_s + 3:.2f} s of the 6.00 s of sEEG"
    assert covers in found.notes and len(found.seeg) == len(original.seeg)
    # The trial from 1 to 2 s, or none: that from 4 to 5.5 s is covered to 5 s only.
    assert [t.text for t in found.trials] == (["huis"] if shift_s == 0 else [])


def test_floats_beyond_full_scale_and_doubles(file, original):
    """Integers stored as doubles, as some converters do."""

    def change(acquisition):
        sound = acquisition["Audio/data"][:].astype(np.float64)
        del acquisition["Audio/data"]
        acquisition["Audio/data"] = sound

    edit(file, change)
    np.testing.assert_allclose(read_recording(file).audio, original.audio, atol=0.51 / 32768)
