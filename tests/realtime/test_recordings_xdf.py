"""Recordings from XDF files: which streams, the grid of the sEEG, one clock for all."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from models.errors import RecordingError
from realtime.recordings import Trial, read_recording
from realtime.recordings.options import Options
from realtime.recordings.xdf import read_xdf
from realtime.recordings.xdf_grid import Survey
from realtime.recordings.xdf_trials import marked
from tests.xdf_files import Session, Stream, XdfWriter

SHARED = Path(__file__).parents[3] / "shared/data"


def truth(session):
    """sEEG of a session with NaN where samples are lost."""
    index, _ = session.times()
    full = np.full((int(session.seconds * session.fs), session.contacts), np.nan, np.float32)
    full[index] = session.seeg_values(index)
    return full


def clicks_s(recording):
    at = np.flatnonzero(recording.audio > 0.5)
    return recording.audio_start_s + at / recording.audio_rate


def notes(recording):
    return " / ".join(recording.notes)


def test_a_session_comes_back(tmp_path):
    session = Session()
    recording = read_xdf(session.write(tmp_path / "x.xdf"))
    assert np.array_equal(recording.seeg, truth(session))
    assert recording.seeg.dtype == np.float32 and recording.fs == Fraction(512)
    assert recording.labels == ("A1", "A2", "A3", "A4", "A5", "A6")
    # Offsets bring both to one clock; times near 5000 s are good to 1e-12 s, their line to 1e-9.
    assert np.abs(clicks_s(recording) - np.arange(1, 20)).max() < 1e-6
    assert recording.audio.dtype == np.float32 and recording.audio.max() == pytest.approx(0.9, 1e-4)
    assert all(isinstance(trial, Trial) for trial in recording.trials)
    assert [t.text for t in recording.trials] == ["huis", "boom"]
    assert [t.onset_s for t in recording.trials] == pytest.approx([2.0, 5.0], abs=1e-6)
    assert [t.duration_s for t in recording.trials] == pytest.approx([1.5, 1.0], abs=1e-6)
    assert "'experimentStarted' (1)" in notes(recording)


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize(
    "lost",
    [
        ((3000, 1),),
        ((3000, 32), (3100, 32), (3164, 1)),
        ((10, 5), (10_200, 7)),
        ((2000, 5000),),
        tuple((400 + 37 * k, 1 + k % 3) for k in range(200)),
        tuple((500 + 700 * k, 32) for k in range(13)),
    ],
    ids=["one", "close together", "at the ends", "ten seconds", "200 gaps", "a packet a second"],
)
def test_lost_samples_become_rows_of_nan(tmp_path, lost, explicit):
    session = Session(lost=lost, explicit=explicit)
    recording = read_xdf(session.write(tmp_path / "x.xdf"))
    assert np.array_equal(recording.seeg, truth(session), equal_nan=True)
    count = sum(width for _, width in lost)
    assert f"{count} samples" in notes(recording) and f"in {len(lost)} gaps" in notes(recording)
    assert np.abs(clicks_s(recording) - np.arange(1, 20)).max() < 1e-5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("jitter_s", [0.0005, 0.002, 0.01])
def test_jitter_is_no_loss_and_hides_no_packet(tmp_path, seed, jitter_s):
    session = Session(jitter_s=jitter_s, seed=seed, seconds=40)
    recording = read_xdf(session.write(tmp_path / "x.xdf"))
    assert np.array_equal(recording.seeg, truth(session))
    often = tuple((600 + 608 * k, 32) for k in range(30))
    session = replace(session, lost=((6000, 96), (12_000, 64)) if seed % 2 else often)
    recording = read_xdf(session.write(tmp_path / "x.xdf"))
    found = np.isnan(recording.seeg[:, 0])
    # Medians over a second of 16 packets leave a fraction of the jitter: two thirds of it bounds
    # them here, in samples, plus one for rounding.
    off = int(2 / 3 * jitter_s * session.fs) + 1
    for first, width in session.lost:
        assert abs(int(found[first - 50 : first + width + 50].sum()) - width) <= off
    assert abs(len(recording.seeg) - len(truth(session))) <= 2 * off


def survey_of(stamps, rate=512.0):
    survey = Survey("a stream", rate)
    for part in np.array_split(stamps, 7):
        survey.add(part)
    return survey.grid()


def test_a_packet_that_comes_late_is_no_loss():
    stamps = np.arange(20_000) / 512
    stamps[7000:7032] += 0.09
    stamps[9000:9128] += 0.09
    grid = survey_of(stamps)
    assert len(grid.gaps) == 0 and grid.rows == 20_000
    assert grid.rate == pytest.approx(512, rel=1e-6)


@pytest.mark.parametrize("packet", [1, 8, 32, 102])
@pytest.mark.parametrize("stalls", [0.0, 0.01])
@pytest.mark.parametrize("ppm", [0, 150])
def test_late_packets_and_slow_clocks_are_no_loss_either(packet, stalls, ppm):
    rng = np.random.default_rng(packet)
    count = 60 * 1024
    late = 0.003 * rng.exponential(size=count // packet + 1)
    late += 0.15 * (rng.random(len(late)) < stalls)
    stamps = 1e4 + np.arange(count) / (1024 * (1 + 1e-6 * ppm))
    grid = survey_of(stamps + np.repeat(late, packet)[:count], 1024.0)
    assert grid.gaps.tolist() == [] and grid.rows == count


def test_samples_that_overlap_earlier_ones_are_left_out():
    stamps = np.concatenate([np.arange(8000), np.arange(7968, 20_000)]) / 512
    grid = survey_of(stamps)
    assert grid.rows == 20_000 and grid.doubled == 32 and grid.lost == 0
    assert grid.parts() == [(0, 8000, 0), (8000, 20_000, 8032)]


@pytest.mark.parametrize("rate", [100.0, 1024.0, 48_000.0])
def test_the_rate_is_measured_and_wander_is_said(rate):
    count = int(60 * rate)
    steady = survey_of(5e5 + np.arange(count) / (rate * (1 + 3e-5)), rate)
    # Doubles near 5e5 s are good to 6e-11 s: 1e-9 over a second.
    assert steady.rate == pytest.approx(rate * (1 + 3e-5), rel=1e-8)
    assert steady.start_s == pytest.approx(5e5, abs=1e-6) and steady.wander_s < 1e-6
    bent = survey_of(np.arange(count) / rate + 0.02 * np.sin(np.arange(count) / rate / 10), rate)
    assert bent.wander_s > 0.01 and len(bent.gaps) == 0


def test_each_clock_runs_as_it_likes(tmp_path):
    session = Session(seeg_ppm=400, audio_ppm=-300, seconds=30)
    recording = read_xdf(session.write(tmp_path / "x.xdf"))
    assert np.array_equal(recording.seeg[:, 1], truth(session)[: len(recording.seeg), 1])
    # A second of the recorder is 1.0004 s on the sEEG clock, where one second is 512 samples.
    expected = np.arange(1, 30) * (1 + 400e-6)
    assert np.abs(clicks_s(recording) - expected).max() < 1e-4
    assert recording.trials[1].onset_s == pytest.approx(5 * (1 + 400e-6), abs=1e-6)
    fast = read_xdf(replace(session, seeg_ppm=1500).write(tmp_path / "y.xdf"))
    assert "+1500 ppm off" in notes(fast)


@pytest.mark.parametrize("to_s", [50.0, 90_000.0])
def test_a_reset_of_the_seeg_clock_moves_nothing(tmp_path, to_s):
    session = Session(reset=(11.3, to_s), lost=((7000, 20),))
    recording = read_xdf(session.write(tmp_path / "x.xdf"))
    assert np.array_equal(recording.seeg, truth(session), equal_nan=True)
    assert np.abs(clicks_s(recording) - np.arange(1, 20)).max() < 1e-5
    assert "its clock was reset 1 times" in notes(recording)


def test_a_reset_without_offsets_behind_it_is_refused(tmp_path):
    session = Session(reset=(11.3, 50.0), offsets_until_s=11.0)
    with pytest.raises(RecordingError, match=r"step back .* no clock offsets explain it"):
        read_xdf(session.write(tmp_path / "x.xdf"))


def test_lost_audio_is_silence(tmp_path):
    path = tmp_path / "x.xdf"
    session = Session(audio=False)
    session = replace(session, extra=(Stream(2, "Mic", "Audio", 2, 8000, "float32"),))
    sound = 0.5 * np.sin(np.arange(160_000) / 7)[:, None] * np.array([1, 0])
    heard = session.origin + np.arange(160_000) / 8000
    keep = np.r_[0:40_000, 56_000:160_000]
    session.write(path, footers=False)
    with path.open("ab") as raw, XdfWriter(tmp_path / "part.xdf") as out:
        out.streams[2], out.counts[2] = session.extra[0], 0
        places = [out.samples(2, sound[p], heard[p]) for p in np.array_split(keep, 20)]
        out.file.flush()
        raw.write((tmp_path / "part.xdf").read_bytes()[places[0] :])
    recording = read_xdf(path)
    assert len(recording.audio) == 160_000
    assert np.allclose(recording.audio[56_000:], sound[56_000:, 0])
    assert not recording.audio[40_000:56_000].any()
    assert "16000 samples (2 s) are lost in 1 gaps" in notes(recording)
    assert "silence instead" in notes(recording) and "channel 2 of 2 is silent" in notes(recording)


# Which streams


def test_read_recording_reads_xdf(tmp_path):
    path = Session().write(tmp_path / "x.xdf")
    recording = read_recording(path, seeg_stream="Micromed", contacts=["A3", "A2"])
    assert recording.labels == ("A3", "A2")
    assert np.array_equal(recording.seeg, truth(Session())[:, [2, 1]])
    silent = read_recording(Session(audio=False).write(tmp_path / "y.xdf"))
    assert len(silent.audio) == 0 and "it has no audio" in notes(silent)


def test_several_streams_must_be_named(tmp_path):
    two = (Stream(4, "scalp", "eeg", 1, 100, "float32", ("Cz",), ("uV",)),)
    path = Session(extra=two).write(tmp_path / "x.xdf")
    # It has no samples, so the other is the only one.
    assert read_xdf(path).labels[0] == "A1"
    with XdfWriter(tmp_path / "y.xdf") as out:
        for number in (1, 2):
            out.header(Stream(number, f"amp{number}", "EEG", 1, 100, "float32", ("A1",), ("uV",)))
            out.samples(number, 30 * np.sin(np.arange(900.0))[:, None], np.arange(900) / 100)
    with pytest.raises(RecordingError, match=r"2 streams .* 'amp1' .* 'amp2'"):
        read_xdf(tmp_path / "y.xdf")
    assert read_xdf(tmp_path / "y.xdf", seeg="amp2").seeg.shape == (900, 1)
    with pytest.raises(RecordingError, match=r"no stream 'amp3'.*amp1"):
        read_xdf(tmp_path / "y.xdf", seeg="amp3")
    for option in ("audio", "markers"):
        with pytest.raises(RecordingError, match="no stream 'none'"):
            read_xdf(path, **{option: "none"})


def test_a_file_without_seeg_lists_what_it_holds(tmp_path):
    with XdfWriter(tmp_path / "x.xdf") as out:
        out.header(Stream(1, "Mic", "Audio", 1, 8000, "int16"))
    with pytest.raises(RecordingError, match="no sEEG stream; it holds 'Mic'"):
        read_xdf(tmp_path / "x.xdf")


def test_unknown_units_and_unnamed_contacts_are_refused(tmp_path):
    path = Session(unit="").write(tmp_path / "x.xdf")
    with pytest.raises(RecordingError, match="unit of A1"):
        read_xdf(path)
    stated = read_xdf(path, options=Options(unit="mV"))
    assert np.allclose(stated.seeg, 1000 * truth(Session()), rtol=1e-6)
    with XdfWriter(tmp_path / "y.xdf") as out:
        out.header(Stream(1, "amp", "EEG", 2, 100, "float32", ("A1",), ("uV", "uV")))
        out.samples(1, np.zeros((300, 2)), np.arange(300) / 100)
    with pytest.raises(RecordingError, match="does not name 1 of its channels"):
        read_xdf(tmp_path / "y.xdf")


def test_duplicate_labels_are_refused(tmp_path):
    with XdfWriter(tmp_path / "x.xdf") as out:
        out.header(Stream(1, "amp", "sEEG", 3, 100, "float32", ("A1", "A2", "A1"), ("uV",) * 3))
        out.samples(1, np.ones((300, 3)), np.arange(300) / 100)
    with pytest.raises(RecordingError, match=r"more than once: A1"):
        read_xdf(tmp_path / "x.xdf")


@pytest.mark.parametrize(
    ("samples", "said"), [(0, "has 0 samples"), (1, "has 1 samples"), (300, "say 97")]
)
def test_empty_streams_and_wrong_rates_are_refused(tmp_path, samples, said):
    with XdfWriter(tmp_path / "x.xdf") as out:
        out.header(Stream(1, "amp", "sEEG", 1, 100, "float32", ("A1",), ("uV",)))
        out.samples(1, np.zeros((samples, 1)), np.arange(samples) / 97)
    with pytest.raises(RecordingError, match=said):
        read_xdf(tmp_path / "x.xdf")


def test_an_irregular_seeg_stream_gets_its_rate_from_its_timestamps(tmp_path):
    values = 30 * np.random.default_rng(0).standard_normal((5000, 2))
    with XdfWriter(tmp_path / "x.xdf") as out:
        out.header(Stream(1, "amp", "iEEG", 2, 0, "float32", ("A1", "A2"), ("uV", "uV")))
        out.samples(1, values, 9 + np.arange(5000) / 500.02)
    assert read_xdf(tmp_path / "x.xdf").fs == 500


def test_two_marker_streams_that_tell_trials_must_be_named(tmp_path):
    path = tmp_path / "x.xdf"
    session = Session(extra=(Stream(4, "cues", "Markers", 2, 0, "string"),))
    session.write(path, footers=False)
    with XdfWriter(tmp_path / "part.xdf") as out:
        out.streams[4], out.counts[4] = session.extra[0], 0
        start = out.samples(4, [("onset", "zon"), ("offset", "zon")], [5003.0, 5004.0])
    path.write_bytes(path.read_bytes() + (tmp_path / "part.xdf").read_bytes()[start:])
    with pytest.raises(RecordingError, match=r"SingleWordsMarkerStream, cues .* all tell trials"):
        read_xdf(path)
    (trial,) = read_xdf(path, markers="cues").trials
    assert (trial.text, trial.onset_s) == ("zon", pytest.approx(3.0, abs=1e-6))


def test_a_truncated_recording_keeps_its_trials_up_to_the_cut(tmp_path):
    path = Session().write(tmp_path / "x.xdf")
    path.write_bytes(path.read_bytes()[:900_000])
    recording = read_xdf(path)
    assert 3 < recording.seconds < 7
    assert np.array_equal(recording.seeg, truth(Session())[: len(recording.seeg)])
    assert [trial.text for trial in recording.trials] == ["huis"]
    assert "no footer" in notes(recording) and "the last" in notes(recording)


# Markers


def test_pairs_of_markers_are_intervals():
    texts = ["boom_start", "start;huis", "END: huis", "boom_end", "begin - x y", "stop=x y"]
    marks, said = marked(range(6), texts)
    assert marks == [(0, 3, "boom"), (1, 1, "huis"), (4, 1, "x y")]
    assert said == []


def test_markers_that_pair_with_nothing_are_counted():
    texts = ["start;a", "start;a", "end;a", "end;b", "experimentStarted", "startle", "7", "7"]
    marks, said = marked(range(8), texts)
    assert marks == [(1, 1, "a")]
    assert said[0].startswith("2 markers of a start without an end")
    assert "4 markers are moments, no trials: '7' (2)" in said[1]


# Real files


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("xdf_example_files/clock_resets", r"say 93\.0\d\d Hz, its header 100 Hz"),
        ("xdf_example_files/minimal", "does not name 3 of its channels"),
        ("xdf_example_files/empty_streams", "no sEEG stream; it holds"),
        ("xdf_malformed_rs/chunk_length_lie", "holds no stream"),
        ("xdf_malformed_rs/out_of_order_clock_offsets", "no sEEG stream"),
        ("xdf_malformed_rs/out_of_order_sample_chunk", "no sEEG stream"),
    ],
)
def test_real_files_that_are_no_seeg_recordings_say_why(name, said):
    path = SHARED / f"{name}.xdf"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with pytest.raises(RecordingError, match=said):
        read_xdf(path)
