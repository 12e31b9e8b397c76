"""Which files a recording came from, and that its hash covers every one of them."""

from __future__ import annotations

import hashlib
import os
import shutil

import numpy as np
import pytest

from models.files import sha256
from realtime.recordings import content_sha256, read_recording
from realtime.recordings.brainvision import files_of
from tests.realtime.recordings.files import signal, write_brainvision, write_edf, write_table

LABELS = ["LA1", "LA2", "LA3", "LB1"]
sf = pytest.importorskip("soundfile")


def bids(folder):
    """A BrainVision recording with every sidecar, and a sound file elsewhere."""
    folder.mkdir(parents=True)
    write_brainvision(folder / "sub-01_ieeg.vhdr", signal(), LABELS)
    write_table(folder / "sub-01_channels.tsv", ("name", "type"), [(n, "SEEG") for n in LABELS])
    rows = [(0.5, 1.0, "word", "huis"), (2.0, 1.0, "word", "boom")]
    write_table(folder / "sub-01_events.tsv", ("onset", "duration", "trial_type", "value"), rows)
    (folder / "sub-01_ieeg.json").write_text('{"PowerLineFrequency": 50}')
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000 * 4)
    sf.write(folder / "microphone.wav", sound, 16_000)
    return folder / "sub-01_ieeg.vhdr", folder / "microphone.wav"


def hashed(file, audio, **options):
    return content_sha256(read_recording(file, audio=audio, **options).files)


READ = (
    "sub-01_ieeg.vhdr",
    "sub-01_ieeg.eeg",
    "sub-01_ieeg.vmrk",
    "sub-01_channels.tsv",
    "sub-01_events.tsv",
    "sub-01_ieeg.json",
    "microphone.wav",
)


def changed(file):
    """The same file with another content that reads just as well."""
    if file.suffix == ".eeg":
        samples = np.fromfile(file, "<f4")
        samples[100] += 1
        samples.tofile(file)
    elif file.suffix == ".wav":
        sound, rate = sf.read(file)
        sf.write(file, sound[::-1], rate)
    elif file.suffix == ".json":
        file.write_text('{"PowerLineFrequency": 60}')
    elif file.suffix == ".vmrk":
        file.write_text(file.read_text() + "Mk1=Comment,note,100,0,0\n")
    elif file.suffix == ".vhdr":
        file.write_text(file.read_text() + "; a comment\n")
    else:
        file.write_text(file.read_text().replace("LA1\tSEEG", "LA1\tECOG").replace("huis", "muis"))


@pytest.mark.parametrize("name", READ)
def test_a_change_in_any_file_that_was_read_changes_the_hash(name, tmp_path):
    file, audio = bids(tmp_path / "ieeg")
    before, content = hashed(file, audio), sha256(file.parent / name)
    changed(file.parent / name)
    assert sha256(file.parent / name) != content
    assert hashed(file, audio) != before


def test_what_was_not_read_does_not_count(tmp_path):
    file, audio = bids(tmp_path / "ieeg")
    before = hashed(file, audio)
    (file.parent / "sub-01_notes.txt").write_text("looked at again")
    (file.parent / "sub-01_ieeg.html").write_text("a report")
    assert hashed(file, audio) == before
    assert hashed(file, None) != before


def test_a_table_of_events_that_is_named_counts_instead_of_the_sidecar(tmp_path):
    file, audio = bids(tmp_path / "ieeg")
    other = tmp_path / "events.tsv"
    shutil.copy(file.parent / "sub-01_events.tsv", other)
    before = hashed(file, audio, events=other)
    changed(file.parent / "sub-01_events.tsv")
    assert hashed(file, audio, events=other) == before
    changed(other)
    assert hashed(file, audio, events=other) != before


def test_a_copy_elsewhere_is_the_same_recording(tmp_path, monkeypatch):
    file, audio = bids(tmp_path / "ieeg")
    before = hashed(file, audio)
    shutil.copytree(file.parent, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    assert hashed(os.curdir + "/sub-01_ieeg.vhdr", "microphone.wav") == before


def test_one_file_alone_has_its_own_hash(tmp_path):
    """The figure that `sha256sum` prints."""
    file = write_edf(tmp_path / "x.edf", signal(), LABELS)
    found = read_recording(file)
    assert found.files == (file.resolve(),)
    assert content_sha256(found.files) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_header_that_names_no_markers(tmp_path):
    file = write_brainvision(tmp_path / "x.vhdr", signal(), LABELS)
    (tmp_path / "x.vmrk").unlink()
    file.write_text(file.read_text().replace("MarkerFile=x.vmrk\n", ""))
    assert files_of(file) == [tmp_path / "x.eeg"]


@pytest.mark.shared_data
def test_the_parts_of_a_nihon_kohden_recording(nihon_kohden):
    names = {file.name for file in read_recording(nihon_kohden).files}
    assert {"MB0400FU.EEG", "MB0400FU.PNT", "MB0400FU.LOG", "MB0400FU.21E"} <= names
    assert "MB0400FU.EDF" not in names


@pytest.fixture
def nihon_kohden(request):
    file = request.config.rootpath / "../shared/data/nihonkohden_mne/MB0400FU.EEG"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    return file.resolve()
