"""Parts that every format shares: contacts, amplitudes, clocks, long arrays."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from models.errors import MontageError, RecordingError
from realtime.recordings import measured_clock, scratch
from realtime.recordings.amplitude import amplitude_uv, check_amplitude, microvolts_in
from realtime.recordings.clocks import stated
from realtime.recordings.contacts import Channel, chosen, looks_other

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "name",
    ["EKG", "EKGL", "ECG1+", "DC1", "DC10", "TRIG", "MKR+", "MKR1+", "EMG3+", "EOG", "VEOG", "PR",
     "OSAT", "SpO2+", "Pleth", "STI 014", "Status", "EDF Annotations", "EEG EKG1-Ref", "POL DC03",
     "POL E", "MISC", "PULS+", "BEAT+", "Event", "EEG Mark1"],
)  # fmt: skip
def test_names_that_are_no_contacts(name):
    assert looks_other(name)


@pytest.mark.parametrize(
    "name",
    ["LA1", "B'3", "PR1", "IPR6", "EC1", "AR8", "Fz", "DCA1", "ACC1", "TEMP1", "EEG LA1-Ref",
     "POL A'12", "MT4", "STG3", "PHR8", "E1", "OF4", "DLSN3", "AUD1", "RES2", "S1"],
)  # fmt: skip
def test_names_that_may_be_contacts(name):
    assert not looks_other(name)


def names(channels, wanted=None):
    places, _ = chosen(channels, wanted)
    return [channels[i].name for i in places]


def test_listed_types_come_before_those_of_the_file():
    channels = [Channel("LA1", "EEG", "SEEG"), Channel("Cz", "EEG", "EEG"),
                Channel("LA2", "SEEG", "MISC"), Channel("LA3", "SEEG")]  # fmt: skip
    assert names(channels) == ["LA1", "LA3"]


def test_untyped_channels_go_by_name_and_unit():
    channels = [Channel("LA1", "EEG", unit="µV"), Channel("LA2", "EEG", "EEG", "µV"),
                Channel("EKG", "EEG", unit="µV"), Channel("X1", "EEG", unit="mV"),
                Channel("LA3", "MISC", unit="µV")]  # fmt: skip
    assert names(channels) == ["LA1", "LA2"]
    assert names(channels, ["EKG", "LA3"]) == ["EKG", "LA3"]


def test_a_label_wanted_twice_is_refused():
    with pytest.raises(RecordingError, match="LA1"):
        chosen([Channel("LA1"), Channel("LA2")], ["LA1", "LA1"])


@pytest.mark.parametrize("wrong", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("sd", [12.0, 26.0, 153.0])
def test_units_wrong_by_a_thousand_are_noticed(wrong, sd):
    """The quietest and loudest of the public recordings (NOTES-data-evaluation, section 4)."""
    seeg = np.random.default_rng(0).normal(0, sd, (20_000, 5)).astype(np.float32)
    seeg[:, 0] += 5000  # an offset of the electrode
    seeg[:, 1] = 0  # a dead contact
    seeg[:, 2] = np.nan
    assert amplitude_uv(seeg, Fraction(1000)) == pytest.approx(sd, rel=0.05)
    check_amplitude(seeg, Fraction(1000), "x", 1.0)
    if not 0.3 <= sd * wrong <= 10_000:
        with pytest.raises(RecordingError, match="x: the contacts would have"):
            check_amplitude(seeg * np.float32(wrong), Fraction(1000), "x", 1.0)
    else:  # pragma: no cover - would be a hole in the range
        pytest.fail(f"{sd} microvolts times {wrong} pass")


def test_a_flat_recording_says_nothing_about_its_unit():
    check_amplitude(np.zeros((5000, 2), np.float32), Fraction(1000), "x", 1.0)
    check_amplitude(np.full((5000, 2), np.nan, np.float32), Fraction(1000), "x", 1.0)
    check_amplitude(np.zeros((1, 2), np.float32), Fraction(1000), "x", 1.0)


def test_units_can_be_numbers():
    assert microvolts_in("mV") == 1000 and microvolts_in(0.25) == 0.25
    with pytest.raises(RecordingError, match="above 0"):
        microvolts_in(0.0)
    with pytest.raises(MontageError, match="furlong"):
        microvolts_in("furlong")


def test_stated_rates():
    assert stated(1e6 / 976.562) == 1024
    assert stated(160.0) == 160
    assert stated(499.907) == Fraction(499_907, 1000)
    for wrong in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(RecordingError, match="a rate in Hz"):
            stated(wrong)


class Dataset:
    """Answers slices only, as a dataset in a file does."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, part):
        assert isinstance(part, slice)
        return self.values[part]


def test_a_clock_read_in_pieces_is_the_same():
    stamps = 9e6 + np.arange(2_500_000) / 47_999.19
    assert measured_clock(Dataset(stamps)) == measured_clock(stamps)
    assert measured_clock(stamps).jump_s == 0


@pytest.mark.parametrize("jump", [0.05, -0.05, 3.0])
def test_a_jump_of_the_clock_is_seen(jump):
    stamps = np.arange(50_000) / 1024
    stamps[30_000:] += jump
    clock = measured_clock(stamps)
    assert clock.jump_s == pytest.approx(abs(jump), abs=1e-6)
    # Seen by a difference over one second.
    assert clock.jump_at_s == pytest.approx(30_000 / 1024 - 1, abs=1.01)
    assert clock.effective_hz == pytest.approx(1024, abs=1e-5)


def test_a_long_array_lives_in_a_file_that_has_no_name(monkeypatch, tmp_path):
    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    values = np.random.default_rng(0).normal(size=(20_000, 3)).astype(np.float32)
    found = scratch.gathered(values.shape, lambda start, stop: values[start:stop])
    assert isinstance(found, np.memmap) and list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(found, values)
    found[5] = 7  # like any array
    np.testing.assert_array_equal(np.concatenate(list(scratch.blocks(found)))[5], 7)
    short = scratch.gathered(values.shape, lambda start, stop: values[start:stop][:100])
    np.testing.assert_array_equal(short, values[:100])


def test_no_room_is_said_before_reading(monkeypatch):
    size = 1 << 60
    with pytest.raises(RecordingError, match="TMPDIR"):
        scratch.Scratch((size // 4,))


# -- memory

READ = """
import sys
from pathlib import Path
from realtime.recordings import read_recording, scratch

def peak_kib():  # not ru_maxrss, which a process inherits from its parent
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

small, large = sys.argv[1:]
scratch.IN_MEMORY_BYTES = 8 << 20
read_recording(small, **OPTIONS(small))
before = peak_kib()
found = read_recording(large, **OPTIONS(large))
grown = peak_kib() - before
print(grown / 1024, found.seeg.nbytes / 2**20, found.audio.nbytes / 2**20, found.seeg[-1, -1])
"""


def grown_mib(small, large, options):
    """Growth of the peak memory of a process, and what it read (sEEG, audio; MiB)."""
    script = READ.replace("OPTIONS", f"(lambda file: {options})")
    done = subprocess.run(
        [sys.executable, "-c", script, str(small), str(large)],
        capture_output=True, text=True, timeout=120, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


@pytest.mark.parametrize("kind", ["brainvision", "edf", "nwb"])
def test_memory_does_not_grow_with_the_recording(kind, tmp_path):
    """Peak memory of reading 115 MiB of samples grows by less than 40 MiB, in every format.

    Measured: 1 (BrainVision), 4 (EDF) and 19 MiB (NWB); all in memory, 122 to 135 MiB.
    """
    if kind == "nwb":
        small, large, options = *nwb_files(tmp_path), "{}"
    else:
        small, large = (mne_file(tmp_path, kind, seconds) for seconds in (20, 220))
        options = "dict(audio=file.rsplit('.', 1)[0] + '.wav')"
    grown, seeg, audio, last = grown_mib(small, large, options)
    assert seeg > 70 and audio > 30 and seeg + audio > 115
    assert np.isfinite(last)
    assert grown < 40, f"{grown:.0f} MiB for {seeg + audio:.0f} MiB"


def tile(seconds, contacts, fs):
    second = np.round(np.random.default_rng(0).normal(0, 40, (fs, contacts)))
    return np.tile(second, (seconds, 1)).astype(np.int16)


def mne_file(folder, kind, seconds):
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("mne")
    from tests.realtime.recordings.files import write_brainvision, write_edf

    labels = [f"L{i // 10}X{i % 10 + 1}" for i in range(100)]
    values = tile(seconds, 100, 1024)
    file = folder / f"{kind}{seconds}.{'edf' if kind == 'edf' else 'vhdr'}"
    sound = np.random.default_rng(0).normal(0, 0.1, seconds * 44_100).astype(np.float32)
    soundfile.write(file.with_suffix(".wav"), sound, 44_100)
    if kind == "edf":
        return write_edf(file, values, labels)
    return write_brainvision(file, values, labels, kind="INT_16")


def nwb_files(folder):
    h5py = pytest.importorskip("h5py")
    from tests.realtime.recordings.files import write_table

    for seconds in (20, 220):
        file = folder / f"nwb{seconds}.nwb"
        with h5py.File(file, "w") as nwb:
            group = nwb.create_group("acquisition/iEEG")
            group["data"] = tile(seconds, 100, 1024)
            group["data"].attrs["unit"] = "uV"
            group["timestamps"] = 9e6 + np.arange(seconds * 1024) / 1024
            sound = nwb.create_group("acquisition/Audio")
            rng = np.random.default_rng(0)
            sound["data"] = rng.integers(-9000, 9000, seconds * 44_100, np.int16)
            sound["timestamps"] = 9e6 + np.arange(seconds * 44_100) / 44_100
            words = nwb.create_group("acquisition/Stimulus")
            shown = [b"huis" if i // 1024 % 2 else b"" for i in range(seconds * 1024)]
            words.create_dataset("data", data=shown, dtype=h5py.string_dtype())
        rows = [(f"L{i // 10}X{i % 10 + 1}", "SEEG", "uV") for i in range(100)]
        write_table(folder / f"nwb{seconds}_channels.tsv", ("name", "type", "units"), rows)
    return folder / "nwb20.nwb", folder / "nwb220.nwb"
