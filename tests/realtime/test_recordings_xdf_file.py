"""The XDF reader below recordings: every stream in pieces, clocks, damage."""

import gzip
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyxdf

from models.errors import RecordingError
from realtime.recordings.xdf_clock import huber_line
from realtime.recordings.xdf_file import XdfFile
from tests.xdf_files import UUID, Session, Stream, XdfWriter

SHARED = Path(__file__).parents[3] / "shared/data"
NUMBERS = ("float32", "double64", "int8", "int16", "int32", "int64")
# A double near 1e5 s is good to 7e-12 s, and pyxdf adds up hundreds of intervals.
ROUNDING_S = 1e-8

logging.getLogger("pyxdf").setLevel(logging.CRITICAL)


def shared(name):
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} is not there")
    return SHARED / name


def joined(file, stream, **options):
    pieces = list(file.pieces(stream, **options))
    stamps = np.concatenate([np.zeros(0), *(piece.stamps for piece in pieces)])
    texts = [row for piece in pieces for row in piece.texts]
    return stamps, texts


def by_pyxdf(path, **options):
    streams, _ = pyxdf.load_xdf(path, dejitter_timestamps=False, **options)
    return {stream["info"]["stream_id"]: stream for stream in streams}


def written(path, stream, values, stamps, chunk=50, offsets=()):
    with XdfWriter(path) as out:
        out.header(stream)
        for time, value in offsets:
            out.offset(stream.id, time, value)
        for start in range(0, len(values), chunk):
            part = slice(start, start + chunk)
            out.samples(stream.id, values[part], stamps[part])
        out.footer(stream.id)
    return path


@pytest.mark.parametrize("form", NUMBERS)
@pytest.mark.parametrize("stamping", ["all", "first", "some"])
def test_numbers_come_back_as_pyxdf_reads_them(tmp_path, form, stamping):
    rng = np.random.default_rng(0)
    values = rng.integers(-100, 100, (333, 3))
    stamps = 1e5 + np.arange(333) / 100
    if stamping == "first":
        stamps[1:] = np.nan
    elif stamping == "some":
        stamps[rng.random(333) < 0.5] = np.nan
        stamps[0] = 1e5
    path = written(tmp_path / "x.xdf", Stream(7, "s", "EEG", 3, 100, form), values, stamps)
    theirs = by_pyxdf(path)[7]
    with XdfFile(path) as file:
        read = file.read(7, 0, 333)
        assert np.array_equal(read, values)
        assert read.dtype == np.asarray(theirs["time_series"]).dtype
        found, _ = joined(file, 7)
        assert np.abs(found - theirs["time_stamps"]).max() < ROUNDING_S
        assert np.abs(found - 1e5 - np.arange(333) / 100).max() < ROUNDING_S


def test_strings_come_back(tmp_path):
    rows = [("start;café", "1"), ("", "µ"), ("x" * 70_000, "end")]
    stream = Stream(1, "m", "Markers", 2, 0, "string")
    path = written(tmp_path / "x.xdf", stream, rows, np.array([1.0, 2.5, 2.25]), chunk=2)
    with XdfFile(path) as file:
        stamps, texts = joined(file, 1)
    assert texts == rows
    assert stamps.tolist() == [1.0, 2.5, 2.25]


@pytest.mark.parametrize("stamping", ["all", "some"])
def test_one_huge_chunk_is_read_in_blocks_and_any_cut_gives_the_same(tmp_path, stamping):
    values = np.arange(200_000)[:, None]
    stamps = 50 + np.arange(200_000) / 1000
    if stamping == "some":
        stamps[np.random.default_rng(1).random(200_000) < 0.9] = np.nan
        stamps[0] = 50
    stream = Stream(1, "s", "EEG", 1, 1000, "int32")
    path = written(tmp_path / "x.xdf", stream, values, stamps, chunk=len(values))
    with XdfFile(path) as file:
        whole, _ = joined(file, 1)
        assert np.abs(whole - 50 - np.arange(200_000) / 1000).max() < ROUNDING_S
        for start, stop, most in [(0, None, 777), (99_999, 150_001, 10_000), (5, 6, 1)]:
            pieces = list(file.pieces(1, start, stop, most))
            assert max(len(piece.stamps) for piece in pieces) <= most
            numbers = np.concatenate([piece.numbers for piece in pieces])[:, 0]
            assert np.array_equal(numbers, np.arange(200_000)[start:stop])
            assert np.array_equal(np.concatenate([p.stamps for p in pieces]), whole[start:stop])
            assert pieces[0].first == start


def test_a_time_finds_its_sample(tmp_path):
    path = Session(reset=(11.3, 50.0)).write(tmp_path / "x.xdf")
    with XdfFile(path) as file:
        for seconds, sample in [(-5.0, 0), (0.0, 0), (7.0 - 1e-6, 3584), (15.0 - 1e-6, 7680)]:
            assert file.sample_at(1, 5000 + seconds) == sample
        assert file.sample_at(1, 9999) == file.samples(1)


def test_streams_describe_themselves(tmp_path):
    path = Session(unit="µV").write(tmp_path / "x.xdf")
    with XdfFile(path) as file:
        seeg, audio, marks = file.streams
        footer, offsets = file.footer(1), file.clock_offsets(1)
    assert (seeg.name, seeg.type, seeg.source_id, seeg.rate) == ("Micromed", "EEG", "1-src", 512)
    assert seeg.labels == ("A1", "A2", "A3", "A4", "A5", "A6")
    assert set(seeg.units) == {"µV"} and set(seeg.types) == {"SEEG"}
    assert audio.labels == ("",)
    assert marks.format == "string" and "<desc>" in marks.xml
    assert "<sample_count>10240</sample_count>" in footer
    assert np.allclose(offsets[:, 1], -7.25) and len(offsets) == 4
    with XdfFile(path) as file, pytest.raises(RecordingError, match="no stream 9"):
        next(file.pieces(9))


def test_a_compressed_file_reads_the_same_and_a_cut_one_up_to_the_cut(tmp_path):
    path = Session().write(tmp_path / "x.xdf")
    packed = tmp_path / "x.xdfz"
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    with XdfFile(path) as plain, XdfFile(packed) as file:
        assert np.array_equal(file.read(1, 0, 10240), plain.read(1, 0, 10240))
        packed.write_bytes(packed.read_bytes()[:-200_000])
        with XdfFile(packed) as cut:
            assert 0 < cut.samples(1) < 10240
            count = cut.samples(1)
            assert np.array_equal(cut.read(1, 0, count), plain.read(1, 0, count))
            assert any("compressed file ends early" in note for note in cut.notes)


def test_a_truncated_file_gives_what_is_whole(tmp_path):
    path = Session(seconds=8).write(tmp_path / "x.xdf")
    raw = path.read_bytes()
    with XdfFile(path) as file:
        values, stamps = file.read(1, 0, file.samples(1)), joined(file, 1, synchronised=False)[0]
    seen = set()
    for cut in np.linspace(3000, len(raw) - 1, 23).astype(int):
        path.write_bytes(raw[:cut])
        with XdfFile(path) as file:
            count = file.samples(1)
            assert np.array_equal(file.read(1, 0, count), values[:count])
            assert np.array_equal(joined(file, 1, synchronised=False)[0], stamps[:count])
            assert any("no footer" in note for note in file.notes)
        seen.add(count)
    assert len(seen) > 10


DAMAGE = {
    "count too large": {"count": 60},
    "count too small": {"count": 40},
    "length too short": {"lie": -3},
    "length too long": {"lie": 5},
    "length past the end": {"lie": 10_000_000},
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("form", ["int16", "string"])
def test_a_lying_chunk_is_left_out_and_nothing_is_misaligned(tmp_path, kind, form):
    stream = Stream(1, "s", "X", 1, 100, form)
    path = tmp_path / "x.xdf"
    with XdfWriter(path) as out:
        out.header(stream)
        for k in range(20):
            index = np.arange(50 * k, 50 * k + 50)
            values = index[:, None] if form == "int16" else [(str(i),) for i in index]
            out.samples(1, values, index / 100, **(DAMAGE[kind] if k == 7 else {}))
            if k % 5 == 4:
                out.boundary()
    with XdfFile(path) as file:
        stamps, texts = joined(file, 1)
        index = np.array([int(row[0]) for row in texts])
        assert np.abs(stamps - index / 100).max() < ROUNDING_S
        missing = set(range(1000)) - set(index.tolist())
        # At best the one chunk, at worst all up to the next boundary.
        assert set(range(350, 400)) <= missing <= set(range(350, 500))
        assert any("were left out" in note for note in file.notes)


def test_zeros_in_the_middle_cost_a_chunk_and_no_garbage(tmp_path):
    path = Session(seconds=8).write(tmp_path / "x.xdf")
    with XdfFile(path) as file:
        whole = joined(file, 1)
        before = dict(zip(*whole, strict=True))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 1000] = bytes(1000)
    path.write_bytes(raw)
    with XdfFile(path) as file:
        after = [joined(file, stream) for stream in (1, 2)]
        assert any("were left out" in note for note in file.notes)
    assert all(before.get(t) == row for t, row in zip(*after[0], strict=True))
    assert len(after[0][0]) >= len(whole[0]) - 5 * 512
    assert np.abs(np.diff(after[1][0])).max() < 1.1


def test_unknown_and_lonely_chunks_are_skipped_and_said(tmp_path):
    stream = Stream(1, "s", "X", 1, 100, "int16")
    path = tmp_path / "x.xdf"
    with XdfWriter(path) as out:
        out.streams[1], out.counts[1] = stream, 0
        out.samples(1, [[1]], [0.0])
        out.offset(5, 1.0, 2.0)
        out.chunk(99, b"future")
        out.header(stream)
        out.header(stream)
        out.samples(1, [[2]], [1.0])
        out.footer(1, count=77)
        out.footer(8, count=0) if out.counts.setdefault(8, 0) else out.chunk(6, bytes(4) + b"<a/>")
    with XdfFile(path) as file:
        assert file.read(1, 0, 9).tolist() == [[2]]
        said = " / ".join(file.notes)
    for part in (
        "1 sample chunks of streams without a header",
        "1 clock offsets of streams without",
        "unknown tag 99",
        "1 more headers of stream 1",
        "1 footers of streams without",
        "footer counts 77 samples, 1 are there",
    ):
        assert part in said


def test_a_second_header_that_differs_is_not_followed(tmp_path):
    path = tmp_path / "x.xdf"
    with XdfWriter(path) as out:
        out.header(Stream(1, "s", "X", 1, 100, "int16"))
        out.header(Stream(1, "s", "X", 2, 100, "int16"))
        out.streams[1] = Stream(1, "s", "X", 1, 100, "int16")
        out.samples(1, [[3]], [0.0])
    with XdfFile(path) as file:
        assert file.streams[0].channels == 1 and file.read(1, 0, 1).tolist() == [[3]]
        assert any("described twice, differently" in note for note in file.notes)


@pytest.mark.parametrize("content", [b"", b"XDF", b"time,A1,A2\n0,1,2\n", b"XDF:", b"XDF:" + UUID])
def test_what_is_no_xdf_is_refused(tmp_path, content):
    path = tmp_path / "x.xdf"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"begins with|holds no stream"):
        XdfFile(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="does not exist"):
        XdfFile(tmp_path / "no.xdf")


def test_timestamps_that_step_back_are_counted(tmp_path):
    stamps = np.arange(100) / 10.0
    stamps[40] = 1.0
    stream = Stream(1, "s", "X", 1, 10, "int16")
    path = written(tmp_path / "x.xdf", stream, np.arange(100)[:, None], stamps)
    with XdfFile(path) as file:
        assert np.array_equal(joined(file, 1)[0], stamps)
        assert any("1 timestamps step back" in note for note in file.notes)


# Clocks


def test_offsets_are_fitted_as_pyxdf_fits_them(tmp_path):
    rng = np.random.default_rng(3)
    times = 2000 + 5.0 * np.arange(60)
    offsets = -650.0 + 4e-5 * (times - 2000) + 2e-5 * rng.standard_normal(60)
    offsets[[7, 30]] += 0.02
    stamps = 2000 + np.arange(3000) / 10
    stream = Stream(1, "s", "EEG", 1, 10, "int16")
    path = written(
        tmp_path / "x.xdf", stream, np.zeros((3000, 1)), stamps,
        offsets=list(zip(times, offsets, strict=True)),
    )  # fmt: skip
    theirs = by_pyxdf(path)[1]["time_stamps"]
    with XdfFile(path) as file:
        ours = joined(file, 1)[0]
        assert np.array_equal(joined(file, 1, synchronised=False)[0], stamps)
        assert any("scatter by up to 20 ms" in note for note in file.notes)
    # Both minimise the same loss; theirs by 1000 steps of ADMM.
    assert np.abs(ours - theirs).max() < 1e-6
    assert np.abs(ours - (stamps - 650 + 4e-5 * (stamps - 2000))).max() < 2e-5


def test_huber_line_is_exact_on_a_line_and_ignores_outliers():
    x = np.linspace(-50, 50, 101)
    y = 7 - 3e-5 * x
    y[::10] += 5.0
    offset, slope = huber_line(x, y)
    # 11 of 101 outliers pull by their sign alone, each at most the threshold of 1e-4.
    assert abs(offset - 7) < 2e-5 and abs(slope + 3e-5) < 1e-6
    assert huber_line(np.array([3.0]), np.array([2.0])) == (2.0, 0.0)
    assert huber_line(np.array([3.0, 3.0]), np.array([2.0, 4.0])) == (3.0, 0.0)


RESETS = {
    "the sender restarts": (11.3, 50.0),
    "the clock is set back by 3 s": (11.3, 5000 + 7.25 + 11.3 - 3),
    "the clock is set back by 1.2 s": (8.1, 5000 + 7.25 + 8.1 - 1.2),
    "the clock is set forward by 4 s": (11.3, 5000 + 7.25 + 11.3 + 4),
    "the clock is set forward by days": (4.4, 400_000.0),
}


@pytest.mark.parametrize("kind", RESETS)
def test_a_reset_clock_is_followed(tmp_path, kind):
    session = Session(reset=RESETS[kind], seconds=25)
    path = session.write(tmp_path / "x.xdf")
    with XdfFile(path) as file:
        assert file.clock_stretches(1) == 2 and file.clock_stretches(2) == 1
        # 1 us: a double at 4e5 s is good to 6e-11 s, a line over 10 s of offsets to ten times that.
        assert np.abs(joined(file, 1)[0] - session.times()[1]).max() < 1e-6


def test_one_far_offset_is_no_reset(tmp_path):
    stamps = 100 + np.arange(400) / 10.0
    offsets = [(100 + 5.0 * k, 40.0 if k != 3 else 44.0) for k in range(8)]
    stream = Stream(1, "s", "EEG", 1, 10, "int16")
    path = written(tmp_path / "x.xdf", stream, np.zeros((400, 1)), stamps, offsets=offsets)
    with XdfFile(path) as file:
        assert file.clock_stretches(1) == 1
        assert np.abs(joined(file, 1)[0] - stamps - 40).max() < ROUNDING_S
        assert any("far from the rest" in note for note in file.notes)


# Real files


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["clock_resets", "minimal", "empty_streams"])
def test_real_files_read_as_pyxdf_reads_them(name):
    path = shared(f"xdf_example_files/{name}.xdf")
    theirs = by_pyxdf(path)
    with XdfFile(path) as file:
        assert {header.id for header in file.streams} == set(theirs)
        for header in file.streams:
            stamps, texts = joined(file, header.id)
            other = theirs[header.id]
            assert len(stamps) == len(other["time_stamps"])
            # 0.1 us: pyxdf's fit is iterative, and its times are sums of 6.5e5 s.
            assert np.abs(stamps - other["time_stamps"]).max(initial=0) < 1e-7
            if header.format == "string":
                assert [list(row) for row in texts] == other["time_series"]
            else:
                assert np.array_equal(file.read(header.id, 0, len(stamps)), other["time_series"])


@pytest.mark.shared_data
def test_real_clock_resets_are_mapped_without_a_step_back():
    with XdfFile(shared("xdf_example_files/clock_resets.xdf")) as file:
        raw, mapped = (joined(file, 2, synchronised=s)[0] for s in (False, True))
        assert file.clock_stretches(2) == 2
    assert raw[0] > 653_000 and raw[-1] < 300
    assert np.all(np.diff(mapped) > -0.05)
    assert 570 < mapped[-1] - mapped[0] < 576


@pytest.mark.shared_data
def test_malformed_files_are_refused_or_treated_as_stated():
    with pytest.raises(RecordingError, match=r"holds no stream .*no room for a stream id"):
        XdfFile(shared("xdf_malformed_rs/chunk_length_lie.xdf"))
    with XdfFile(shared("xdf_malformed_rs/out_of_order_clock_offsets.xdf")) as file:
        assert [file.samples(header.id) for header in file.streams] == [0]
        assert sum("left out" in note for note in file.notes) == 3
    with XdfFile(shared("xdf_malformed_rs/out_of_order_sample_chunk.xdf")) as file:
        assert [file.samples(header.id) for header in file.streams] == [9]
        assert any("0 channels" in note for note in file.notes)
        assert any("3 sample chunks of streams without a header" in note for note in file.notes)


MEASURE = """
import resource, sys
from realtime.recordings.xdf_file import XdfFile
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
with XdfFile(sys.argv[1]) as file:
    seen = [sum(len(p.stamps) for p in file.pieces(h.id)) for h in file.streams]
assert "torch" not in sys.modules
print(peak() - before, *seen)
"""


@pytest.mark.parametrize("chunk", [512, 60_000])
def test_memory_does_not_grow_with_the_file(tmp_path, chunk):
    values = np.random.default_rng(0).standard_normal((60_000, 256)).astype(np.float32)
    stream = Stream(1, "s", "EEG", 256, 1024, "float32")
    path = written(tmp_path / "x.xdf", stream, values, np.arange(60_000) / 1024, chunk=chunk)
    assert path.stat().st_size > 60e6
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True
    )
    grown, seen = done.stdout.split()
    assert int(seen) == 60_000
    # Blocks of 1 MB, as bytes, values and timestamps, and the allocator's slack: 20 MB.
    assert float(grown) < 20
