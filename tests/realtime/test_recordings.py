"""Writer and reader of the public layout, with every trap the public files have."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from models.errors import BusyOutputError, RecordingError
from realtime import recordings
from realtime.recordings import Recording, Trial, audio_at, read_recording
from training.nwb import Quirks, write_recording

FS, SECONDS, AUDIO_HZ = 1024, 20, 47_999.19


@pytest.fixture(scope="module")
def original():
    rng = np.random.default_rng(0)
    seeg = np.round(rng.normal(0, 30, (FS * SECONDS, 6)) * 8) / 8
    audio = rng.normal(0, 0.01, int(AUDIO_HZ * SECONDS)).astype(np.float32)
    return Recording(
        path=Path(),
        seeg=seeg.astype(np.float32),
        fs=Fraction(FS),
        labels=("LA1", "LA2", "LA3", "LB1", "LB2", "LB3"),
        audio=audio,
        audio_rate=AUDIO_HZ,
        audio_start_s=0.0,
        trials=tuple(Trial(1.0 + 3 * i, 2.0, f"woord{i}") for i in range(6)),
    )


def nwb_of(root):
    return root / "sub-01/ieeg/sub-01_task-wordProduction_ieeg.nwb"


def edit(file, change):
    import h5py

    with h5py.File(file, "r+") as nwb:
        change(nwb["acquisition"])


def same(found, original, trials=None):
    np.testing.assert_array_equal(found.seeg, original.seeg)
    assert found.fs == original.fs and found.labels == original.labels
    # int16 storage: half a step, and the rounding of float32.
    np.testing.assert_allclose(found.audio, original.audio, atol=0.51 / 32768)
    # Timestamps at 9e6 s resolve 2 ns; over one second that is 1e-4 Hz at 48 kHz.
    assert found.audio_rate == pytest.approx(original.audio_rate, abs=2e-4)
    assert found.trials == (original.trials if trials is None else trials)


def test_round_trip(original, tmp_path):
    file = write_recording(original, tmp_path)
    for path in (file, tmp_path, tmp_path / "sub-01"):
        found = read_recording(path)
        same(found, original)
        assert found.path == file and found.notes == ()
        # The writer's audio starts 3.45 us late; timestamps resolve 2 ns.
        assert found.audio_start_s == pytest.approx(3.45e-6, abs=1e-6)
    listed = (tmp_path / "participants.tsv").read_text().split()
    assert listed == ["participant_id", "sub-01"]


def test_layout_is_the_public_one(original, tmp_path):
    import h5py

    with h5py.File(write_recording(original, tmp_path)) as nwb:
        series = nwb["acquisition"]
        assert set(series) == {"iEEG", "Audio", "Stimulus"}
        assert all("timestamps" in series[name] for name in series)
        assert series["iEEG/data"].dtype == np.float64
        assert series["iEEG/data"].shape == original.seeg.shape
        assert series["iEEG/timestamps"][0] == 9_062_565.622919232
        assert series["Stimulus/data"][FS + 10] == b"woord0"
        assert series["Stimulus/data"][0] == b""
    names = {p.name for p in (tmp_path / "sub-01/ieeg").iterdir()}
    stem = "sub-01_task-wordProduction"
    assert names == {
        f"{stem}_{end}"
        for end in (
            "ieeg.nwb",
            "ieeg.json",
            "channels.tsv",
            "events.tsv",
            "space-ACPC_electrodes.tsv",
            "space-ACPC_coordsystem.json",
        )
    }


def test_every_trap_at_once(original, tmp_path):
    quirks = Quirks(
        glitch=True, extra_stimulus=12, cut_trials=2, extra_electrodes=9, byte_order_mark=True
    )
    write_recording(original, tmp_path, quirks=quirks)
    found = read_recording(tmp_path)
    same(found, original, original.trials[:-2])
    # The glitch is in the first stamp only: the start must not follow it by 4 samples (3.9 ms).
    assert found.audio_start_s == pytest.approx(3.45e-6, abs=1e-6)
    assert "2 trials without duration" in " ".join(found.notes)


def test_trials_come_from_the_stimulus_without_events(original, tmp_path):
    file = write_recording(original, tmp_path)
    file.with_name("sub-01_task-wordProduction_events.tsv").unlink()
    assert read_recording(tmp_path).trials == original.trials


def test_rate_instead_of_timestamps(original, tmp_path):
    file = write_recording(original, tmp_path)

    def change(series):
        del series["iEEG/timestamps"], series["Audio/timestamps"]
        for name, rate in (("iEEG", 1024.0), ("Audio", 48_000.0)):
            series[name]["starting_time"] = 5.0
            series[name]["starting_time"].attrs["rate"] = rate

    edit(file, change)
    found = read_recording(file)
    assert found.fs == 1024 and found.audio_rate == pytest.approx(48_000)


def test_volts_become_microvolts(original, tmp_path):
    file = write_recording(original, tmp_path)

    def change(series):
        series["iEEG/data"].attrs["unit"] = "volts"
        series["iEEG/data"].attrs["conversion"] = 1e-6

    edit(file, change)
    np.testing.assert_allclose(read_recording(file).seeg, original.seeg, rtol=1e-6)


def set_units(file, text):
    """Write one unit for all contacts into channels.tsv."""
    sidecar = file.with_name(file.name.replace("_ieeg.nwb", "_channels.tsv"))
    sidecar.write_text(sidecar.read_text().replace("microvolts", text), encoding="utf-8")
    return sidecar


def set_attributes(file, **attributes):
    edit(file, lambda series: series["iEEG/data"].attrs.update(attributes))


def test_unknown_unit_of_the_series_yields_to_channels_tsv(original, tmp_path):
    file = write_recording(original, tmp_path)
    set_attributes(file, unit="a.u.")
    found = read_recording(file)
    np.testing.assert_array_equal(found.seeg, original.seeg)
    assert "'a.u.'" in found.notes[0] and "'microvolts' was taken" in found.notes[0]


@pytest.mark.parametrize("unit", ["unknown", "a.u.", ""])
@pytest.mark.parametrize("listed", ["n/a", "furlong", ""])
def test_no_known_unit_is_refused(original, tmp_path, unit, listed):
    file = write_recording(original, tmp_path)
    set_attributes(file, unit=unit)
    set_units(file, listed)
    with pytest.raises(RecordingError, match="the column 'units' of sub-01_") as caught:
        read_recording(file)
    assert repr(unit) in str(caught.value) and "\n" not in str(caught.value)


def test_no_unit_attribute_is_refused(original, tmp_path):
    file = write_recording(original, tmp_path)
    edit(file, lambda series: series["iEEG/data"].attrs.__delitem__("unit"))
    set_units(file, "n/a")
    with pytest.raises(RecordingError, match="iEEG has the unit ''"):
        read_recording(file)


@pytest.mark.parametrize(
    ("unit", "conversion", "listed", "factor"),
    [
        ("volts", 1.0, "\u00b5V", 1.0),  # NWB's default unit, left as it was
        ("volts", 1.0, "n/a", 1e6),
        ("mV", 1.0, "n/a", 1e3),
        ("volts", 2.5e-7, "uV", 0.25),  # a conversion belongs to its own unit
        ("a.u.", 0.25, "uV", 0.25),
        ("microvolts", 1.0, "mV", 1e3),
    ],
)
def test_units_and_conversion(original, tmp_path, unit, conversion, listed, factor):
    # Stored in that unit: microvolts beyond 10 000 would be refused.
    file = write_recording(replace(original, seeg=original.seeg / np.float32(factor)), tmp_path)
    set_attributes(file, unit=unit, conversion=conversion)
    set_units(file, listed)
    found = read_recording(file)
    # float32 rounds twice.
    np.testing.assert_allclose(found.seeg, original.seeg, rtol=1e-6)


def test_offset_and_channel_conversion(original, tmp_path):
    # A thousandth, so that millivolts are plausible.
    thousandth = original.seeg / np.float32(1000)
    file = write_recording(replace(original, seeg=thousandth), tmp_path)
    set_attributes(file, unit="mV", conversion=0.5, offset=0.25)
    each = np.array([1, 2, 4, 8, 16, 32.0])
    edit(file, lambda series: series["iEEG"].create_dataset("channel_conversion", data=each))
    expected = thousandth * each * 500 + 250
    np.testing.assert_allclose(read_recording(file).seeg, expected, rtol=1e-6, atol=1e-4)
    edit(file, lambda series: series["iEEG"].__delitem__("channel_conversion"))
    edit(file, lambda series: series["iEEG"].create_dataset("channel_conversion", data=each[:4]))
    with pytest.raises(RecordingError, match="4 channel conversions; expected 6"):
        read_recording(file)


def test_contacts_in_different_units_are_refused(original, tmp_path):
    file = write_recording(original, tmp_path)
    sidecar = set_units(file, "uV")
    sidecar.write_text(sidecar.read_text().replace("LA2\tSEEG\tuV", "LA2\tSEEG\tmV"))
    with pytest.raises(RecordingError, match="the units mV, uV; expected one unit"):
        read_recording(file)


def test_a_table_that_is_not_utf8_is_refused(original, tmp_path):
    file = write_recording(original, tmp_path)
    sidecar = set_units(file, "uV")
    sidecar.write_bytes(sidecar.read_bytes().replace(b"uV", b"\xb5V"))
    with pytest.raises(RecordingError, match="not UTF-8"):
        read_recording(file)


def test_another_file_name_has_sidecars_too(original, tmp_path):
    file = write_recording(original, tmp_path)
    for kind in ("channels.tsv", "events.tsv"):
        file.with_name(f"sub-01_task-wordProduction_{kind}").rename(tmp_path / f"mine_{kind}")
    same(read_recording(file.rename(tmp_path / "mine.nwb")), original)


def test_without_sidecars_the_missing_one_is_named(original, tmp_path):
    file = write_recording(original, tmp_path)
    alone = file.rename(tmp_path / "alone.nwb")
    with pytest.raises(RecordingError, match=r"alone_channels\.tsv does not exist") as caught:
        read_recording(alone)
    assert "\n" not in str(caught.value)


def test_without_sidecars_the_file_itself_may_serve(original, tmp_path):
    """An ElectricalSeries refers to NWB's table of electrodes, in an order of its own."""
    import h5py

    alone = write_recording(original, tmp_path).rename(tmp_path / "alone.nwb")
    with h5py.File(alone, "r+") as nwb:
        table = nwb.create_group("general/extracellular_ephys/electrodes")
        table["label"] = [b"XX1", *(name.encode() for name in reversed(original.labels))]
        nwb["acquisition/iEEG/electrodes"] = np.arange(6, 0, -1)
    same(read_recording(alone), original)
    with h5py.File(alone, "r+") as nwb:
        del nwb["acquisition/Stimulus"]
    with pytest.raises(RecordingError, match=r"no trials; expected alone_events\.tsv"):
        read_recording(alone)


@pytest.mark.parametrize("name", ["iEEG", "Audio", "Stimulus"])
@pytest.mark.parametrize("instead", [None, "group", "words", "cube", "no series"])
def test_a_series_without_its_data_is_one_line(original, tmp_path, name, instead):
    file = write_recording(original, tmp_path)

    def change(series):
        if instead == "no series":
            del series[name]
            series[name] = np.zeros(3)
            return
        del series[name]["data"]
        if instead == "group":
            series[name].create_group("data")
        if instead == "words":
            shape = {"iEEG": (5, 6), "Audio": (5,), "Stimulus": (5, 1)}[name]
            series[name]["data"] = np.full(shape, b"word")
        if instead == "cube":
            series[name]["data"] = np.zeros((2, 2, 2))

    edit(file, change)
    with pytest.raises(RecordingError, match=name) as caught:
        read_recording(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [None, 0.0])
def test_a_start_without_a_rate_is_one_line(original, tmp_path, rate):
    file = write_recording(original, tmp_path)

    def change(series):
        del series["iEEG/timestamps"]
        series["iEEG/starting_time"] = 5.0
        if rate is not None:
            series["iEEG/starting_time"].attrs["rate"] = rate

    edit(file, change)
    with pytest.raises(RecordingError, match="neither timestamps nor a rate"):
        read_recording(file)


def test_sEEG_clock_rules(original, tmp_path):
    """An amplifier 100 ppm fast: a nominal second is shorter, and holds fewer audio samples."""
    file = write_recording(original, tmp_path)

    def change(series):
        stamps = series["iEEG/timestamps"][:]
        series["iEEG/timestamps"][:] = stamps[0] + (stamps - stamps[0]) / 1.0001

    edit(file, change)
    found = read_recording(file)
    assert found.fs == 1024
    assert found.audio_rate == pytest.approx(AUDIO_HZ / 1.0001, abs=2e-3)


@pytest.mark.parametrize("rate", [16_000, 22_050])
@pytest.mark.parametrize("start_s", [0.0, 0.25, -0.25])
def test_audio_lands_on_the_seeg_clock(original, rate, start_s):
    """A click 12 s into the recording is found there, to one sample of the new rate."""
    audio = np.zeros(len(original.audio), np.float32)
    audio[round((12.0 - start_s) * AUDIO_HZ)] = 1
    placed = audio_at(replace(original, audio=audio, audio_start_s=start_s), rate)
    assert len(placed) == SECONDS * rate
    assert abs(int(np.argmax(placed)) - 12 * rate) <= 1


def test_audio_rate_matters_over_minutes(original):
    """At 48 000 Hz instead of its own rate a click at 300 s would sit 5 ms early."""
    audio = np.zeros(round(301 * AUDIO_HZ), np.float32)
    audio[round(300 * AUDIO_HZ)] = 1
    long = np.zeros((301 * FS, 1), np.float32)
    placed = audio_at(replace(original, seeg=long, audio=audio), 16_000)
    assert abs(int(np.argmax(placed)) - 300 * 16_000) <= 1


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_file_is_one_line(original, tmp_path, share):
    file = write_recording(original, tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(RecordingError, match="cannot be read") as caught:
        read_recording(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["iEEG", "Audio"])
def test_missing_series_names_what_was_found(original, tmp_path, name):
    file = write_recording(original, tmp_path)
    edit(file, lambda series: series.__delitem__(name))
    with pytest.raises(RecordingError, match="Stimulus") as caught:
        read_recording(file)
    assert f"no series '{name}'" in str(caught.value)


def test_unplaceable_rate_is_refused(original, tmp_path):
    file = write_recording(original, tmp_path)

    def change(series):
        series["iEEG/timestamps"][:] = 9e6 + np.arange(len(original.seeg)) / 1030.0

    edit(file, change)
    with pytest.raises(RecordingError, match="1030"):
        read_recording(file)


def test_labels_must_fit_the_columns(original, tmp_path):
    file = write_recording(original, tmp_path)
    sidecar = file.with_name("sub-01_task-wordProduction_channels.tsv")
    sidecar.write_text("\n".join(sidecar.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(RecordingError, match="names 5 contacts"):
        read_recording(file)
    sidecar.unlink()
    with pytest.raises(RecordingError, match="does not exist"):
        read_recording(file)


def test_wrong_paths_are_named(original, tmp_path):
    with pytest.raises(RecordingError, match="does not exist"):
        read_recording(tmp_path / "nothing")
    with pytest.raises(RecordingError, match=r"no .*nwb"):
        read_recording(tmp_path)
    write_recording(original, tmp_path)
    write_recording(original, tmp_path, "sub-02")
    with pytest.raises(RecordingError, match="2 recordings"):
        read_recording(tmp_path)


def test_writer_never_overwrites_unasked(original, tmp_path):
    file = write_recording(original, tmp_path)
    before = file.read_bytes()
    with pytest.raises(BusyOutputError):
        write_recording(original, tmp_path)
    assert file.read_bytes() == before
    half = replace(original, seeg=original.seeg / 2)
    write_recording(half, tmp_path, overwrite=True)
    np.testing.assert_array_equal(read_recording(tmp_path).seeg, half.seeg)


def test_failed_write_leaves_nothing(original, tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("training.nwb._write_events", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_recording(original, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_clock_ignores_a_glitch():
    stamps = 9e6 + np.arange(5000) / 1024
    stamps[0] -= 4 / 1024
    stamps[3000:] += 0.0
    clock = recordings.measured_clock(stamps)
    assert clock.start_s == pytest.approx(9e6, abs=1e-6)
    assert recordings.snapped(clock.typical_hz) == 1024
    # Half the stamps stand one second apart, to 2 ns each.
    assert clock.effective_hz == pytest.approx(1024, abs=1e-5)
