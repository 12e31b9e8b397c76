"""Audio beside the sEEG: files, channels, offsets, lengths."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from models.errors import RecordingError, SettingsError
from realtime.recordings import Recording, Trial, audio_at, common_span, read_recording, scratch
from realtime.recordings.sound import full_scale, read_sound
from tests.realtime.recordings.files import signal, write_edf, write_table

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'formats'")
pytest.importorskip("mne", reason="needs the extra 'formats'")

FS, RATE, SECONDS = 1024, 48_000, 10


@pytest.fixture
def folder(tmp_path):
    """Ten seconds of sEEG with a trial each two seconds, and as much noise for audio."""
    write_edf(tmp_path / "x.edf", signal(FS * SECONDS, 2), ["LA1", "LA2"])
    rows = [(2 * i + 0.5, 1, "word", f"woord{i}") for i in range(5)]
    write_table(tmp_path / "x_events.tsv", ("onset", "duration", "trial_type", "value"), rows)
    return tmp_path


def write_sound(file, seconds=SECONDS, channels=1, subtype="FLOAT", click_s=None):
    sound = np.random.default_rng(0).normal(0, 0.01, (round(seconds * RATE), channels))
    if click_s is not None:
        sound[round(click_s * RATE)] = 0.9
    soundfile.write(file, sound, RATE, subtype=subtype)
    return file, sound


@pytest.mark.parametrize(("suffix", "subtype"), [(".wav", "FLOAT"), (".wav", "PCM_16"),
                                                 (".flac", "PCM_24")])  # fmt: skip
@pytest.mark.parametrize("offset", [0.0, 0.25, -0.25])
def test_audio_of_a_file_lands_at_its_offset(folder, suffix, subtype, offset):
    file, sound = write_sound(folder / f"a{suffix}", subtype=subtype, click_s=4.0)
    found = read_recording(folder / "x.edf", audio=file, audio_offset_s=offset)
    # libsndfile cuts off to WAV's 16 bits, and rounds to FLAC's 24.
    steps = {"FLOAT": 1e-7, "PCM_16": 1.01 / 2**15, "PCM_24": 1.01 / 2**23}
    np.testing.assert_allclose(found.audio, sound[:, 0], atol=steps[subtype])
    assert (found.audio_rate, found.audio_start_s) == (RATE, offset)
    placed = audio_at(found, 16_000)
    assert len(placed) == SECONDS * 16_000
    assert abs(int(np.argmax(placed)) - round((4.0 + offset) * 16_000)) <= 1


@pytest.mark.parametrize(
    ("seconds", "offset", "covered", "kept"),
    [
        (10.05, 0.0, None, 5),  # nobody stops both at once
        (7.0, 0.0, "0.00-7.00", 3),  # stopped early: trials at 6.5 and 8.5 s are lost
        (10.0, 3.0, "3.00-10.00", 3),  # started late: those at 0.5 and 2.5 s are lost
        (30.0, -10.0, None, 5),  # more audio than sEEG is no loss
    ],
)
def test_audio_and_seeg_of_different_lengths(folder, seconds, offset, covered, kept):
    """What has no audio is said, and its trials are left out; the sEEG stays whole."""
    file, _ = write_sound(folder / "a.wav", seconds)
    found = read_recording(folder / "x.edf", audio=file, audio_offset_s=offset)
    assert len(found.seeg) == FS * SECONDS and len(found.trials) == kept
    said = [note for note in found.notes if note.startswith("audio covers")]
    assert said == ([] if covered is None else [f"audio covers {covered} s of the 10.00 s of sEEG"])
    assert (f"{5 - kept} trials without audio were left out" in found.notes) == (kept < 5)
    assert len(audio_at(found, 16_000)) == SECONDS * 16_000


@pytest.mark.parametrize("offset", [10.0, -11.0, 3600.0])
def test_audio_of_another_time_is_refused(folder, offset):
    file, _ = write_sound(folder / "a.wav")
    with pytest.raises(RecordingError, match="correct the offset") as caught:
        read_recording(folder / "x.edf", audio=file, audio_offset_s=offset)
    assert f"from {offset:.2f} to {offset + 10:.2f} s" in str(caught.value)


def test_common_span_cuts_both_alike(folder):
    """A click stays at its place in the sEEG, and trials stay with their samples."""
    file, _ = write_sound(folder / "a.wav", 5.0, click_s=2.0)
    found = read_recording(folder / "x.edf", audio=file, audio_offset_s=2.2501)
    cut = common_span(found)
    first = 2305  # ceil(2.2501 * 1024): the first sample that has audio
    np.testing.assert_array_equal(cut.seeg, found.seeg[first : int(7.2501 * FS)])
    assert [t.text for t in cut.trials] == [t.text for t in found.trials] == ["woord1", "woord2"]
    assert cut.trials[0].onset_s == pytest.approx(2.5 - first / FS, abs=1e-9)
    click = int(np.argmax(audio_at(cut, 16_000))) / 16_000 + first / FS
    assert click == pytest.approx(4.2501, abs=1 / 16_000)
    whole = replace(found, audio=np.zeros(0, np.float32))
    with pytest.raises(RecordingError):
        common_span(whole)


def test_one_silent_channel_does_not_halve_the_level(folder):
    _, sound = write_sound(folder / "a.wav", channels=3)
    sound[:, 1] = 0
    soundfile.write(folder / "a.wav", sound, RATE, subtype="FLOAT")
    found = read_recording(folder / "x.edf", audio=folder / "a.wav")
    np.testing.assert_allclose(found.audio, (sound[:, 0] + sound[:, 2]) / 2, atol=1e-7)
    assert "audio channel 2 of 3 is silent and was left out" in found.notes


@pytest.mark.parametrize("channels", [1, 2])
def test_silent_audio_is_said(folder, channels):
    silence = np.zeros((SECONDS * RATE, channels))
    silence[::7] = 2 / 2**15  # the last bits of a converter with nothing connected
    soundfile.write(folder / "a.wav", silence, RATE, subtype="PCM_16")
    assert "the audio is silent" in read_recording(folder / "x.edf", audio=folder / "a.wav").notes
    loud, _ = write_sound(folder / "b.wav", channels=channels)
    assert "the audio is silent" not in read_recording(folder / "x.edf", audio=loud).notes


def test_without_audio_there_is_none_to_resample(folder):
    found = read_recording(folder / "x.edf")
    assert len(found.audio) == 0 and "it has no audio" in found.notes
    with pytest.raises(RecordingError, match="has no audio"):
        audio_at(found, 16_000)


def test_faults_of_the_sound_file(folder):
    with pytest.raises(RecordingError, match=r"b\.wav does not exist"):
        read_recording(folder / "x.edf", audio=folder / "b.wav")
    (folder / "b.wav").write_bytes(b"RIFF")
    with pytest.raises(RecordingError, match=r"b\.wav cannot be read"):
        read_recording(folder / "x.edf", audio=folder / "b.wav")
    file, _ = write_sound(folder / "c.flac", subtype="PCM_16")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(RecordingError, match=r"c\.flac (is truncated|cannot be read)"):
        read_recording(folder / "x.edf", audio=file)
    with pytest.raises(SettingsError, match="offset of the audio without an audio file"):
        read_recording(folder / "x.edf", audio_offset_s=1.0)


def test_pieces_change_nothing(folder, monkeypatch):
    """In pieces of 4096 samples and in a file, as at once and in memory: mixing and resampling."""
    file, sound = write_sound(folder / "a.wav", 3.0, channels=2)
    at_once = read_sound(file).samples
    trials = (Trial(0.5, 1.0, "huis"),)
    made = Recording(Path(), np.zeros((3 * FS, 1), np.float32), Fraction(FS), ("LA1",), at_once,
                     47_999.2, 0.1, trials)  # fmt: skip
    resampled = audio_at(made, 22_050)
    monkeypatch.setattr(scratch, "PIECE_BYTES", 1)
    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 1000)
    in_pieces = read_sound(file).samples
    assert isinstance(in_pieces, np.memmap)
    np.testing.assert_array_equal(in_pieces, at_once)
    np.testing.assert_allclose(at_once, sound.mean(axis=1), atol=1e-7)
    # The resampler computes in float32, and places its blocks differently.
    np.testing.assert_allclose(
        audio_at(replace(made, audio=in_pieces), 22_050), resampled, atol=1e-6
    )


def test_integers_in_disguise_get_full_scale(monkeypatch):
    monkeypatch.setattr(scratch, "PIECE_BYTES", 1)
    sound = np.linspace(-20_000, 20_000, 10_000).astype(np.float32)
    np.testing.assert_allclose(full_scale(sound.copy()), sound / 32768, rtol=1e-6)
    np.testing.assert_array_equal(full_scale(sound / 20_000), sound / 20_000)
