"""A writer of XDF files for tests: sound ones as LabRecorder writes them, and broken ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
DTYPES = {
    "float32": "<f4",
    "double64": "<f8",
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
}


@dataclass(frozen=True)
class Stream:
    id: int
    name: str
    type: str
    channels: int
    rate: float
    format: str
    labels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    @property
    def xml(self) -> str:
        def cell(key, values, i):
            return f"<{key}>{escape(values[i])}</{key}>" if i < len(values) else ""

        rows = "".join(
            f"<channel>{cell('label', self.labels, i)}{cell('unit', self.units, i)}"
            f"{cell('type', self.types, i)}</channel>"
            for i in range(max(len(self.labels), len(self.units), len(self.types)))
        )
        return (
            f'<?xml version="1.0"?><info><name>{escape(self.name)}</name>'
            f"<type>{self.type}</type><channel_count>{self.channels}</channel_count>"
            f"<nominal_srate>{self.rate}</nominal_srate>"
            f"<channel_format>{self.format}</channel_format><source_id>{self.id}-src</source_id>"
            f"<uid>uid-{self.id}</uid><hostname>here</hostname>"
            f"<desc><channels>{rows}</channels></desc></info>"
        )


class XdfWriter:
    """Writes chunks in the order of the calls."""

    def __init__(self, path: Path) -> None:
        self.file = Path(path).open("wb")  # noqa: SIM115
        self.file.write(b"XDF:")
        self.counts: dict[int, int] = {}
        self.streams: dict[int, Stream] = {}
        self.chunk(1, b'<?xml version="1.0"?><info><version>1.0</version></info>')

    def __enter__(self) -> XdfWriter:
        return self

    def __exit__(self, *_) -> None:
        self.file.close()

    def chunk(self, tag: int, content: bytes, lie: int = 0) -> int:
        """Write a chunk whose stated length is `lie` bytes off; returns where it starts."""
        start = self.file.tell()
        length = len(content) + 2 + lie
        layout = (1, "<BB") if length < 256 else (4, "<BI")
        self.file.write(struct.pack(layout[1], layout[0], length))
        self.file.write(struct.pack("<H", tag) + content)
        return start

    def header(self, stream: Stream) -> None:
        self.streams[stream.id] = stream
        self.counts[stream.id] = 0
        self.chunk(2, struct.pack("<I", stream.id) + stream.xml.encode())

    def samples(self, stream: int, values, stamps, lie: int = 0, count: int | None = None) -> int:
        """Write one chunk; a NaN in `stamps` is a timestamp left out."""
        values, stamps = list(values) if self._texts(stream) else np.asarray(values), list(stamps)
        assert len(values) == len(stamps)
        self.counts[stream] += len(values)
        head = struct.pack("<IBI", stream, 4, len(values) if count is None else count)
        if self._texts(stream):
            body = b"".join(self._text(row, t) for row, t in zip(values, stamps, strict=True))
        else:
            body = self._numbers(self.streams[stream], values, np.array(stamps))
        return self.chunk(3, head + body, lie)

    def offset(self, stream: int, time: float, value: float) -> None:
        self.chunk(4, struct.pack("<Idd", stream, time, value))

    def boundary(self) -> None:
        self.chunk(5, UUID)

    def footer(self, stream: int, count: int | None = None) -> None:
        count = self.counts[stream] if count is None else count
        xml = f'<?xml version="1.0"?><info><sample_count>{count}</sample_count></info>'
        self.chunk(6, struct.pack("<I", stream) + xml.encode())

    def _texts(self, stream: int) -> bool:
        return self.streams[stream].format == "string"

    @staticmethod
    def _text(row: tuple[str, ...], stamp: float) -> bytes:
        raw = [text.encode() for text in row]
        cells = [
            struct.pack("<BB", 1, len(t)) + t if len(t) < 256 else struct.pack("<BI", 4, len(t)) + t
            for t in raw
        ]
        time = b"\0" if np.isnan(stamp) else struct.pack("<Bd", 8, stamp)
        return time + b"".join(cells)

    @staticmethod
    def _numbers(stream: Stream, values: np.ndarray, stamps: np.ndarray) -> bytes:
        dtype = DTYPES[stream.format]
        values = values.reshape(len(stamps), stream.channels).astype(dtype)
        if not np.isnan(stamps).any():
            # One record per sample: hours of samples must not take minutes to write.
            record = np.dtype([("n", "u1"), ("t", "<f8"), ("v", dtype, (stream.channels,))])
            out = np.zeros(len(stamps), record)
            out["n"], out["t"], out["v"] = 8, stamps, values
            return out.tobytes()
        return b"".join(
            (b"\0" if np.isnan(t) else struct.pack("<Bd", 8, t)) + row.tobytes()
            for t, row in zip(stamps, values, strict=True)
        )


@dataclass
class Session:
    """A recording of sEEG, audio and markers by one recorder, each sender with its own clock.

    Row `i` of the sEEG holds `i` in its first contact, so that every misplaced sample shows;
    the audio has a click (0.9) every second of sEEG time. `lost` are `(first, count)` sEEG samples
    that never came; `reset` `(at_s, to_s)` sets the sender's clock of the sEEG to `to_s`;
    `explicit` False leaves out timestamps that follow from those before, as LabRecorder does.
    """

    seconds: float = 20.0
    fs: float = 512.0
    contacts: int = 6
    audio_rate: int = 16000
    audio_ppm: float = 0.0
    seeg_ppm: float = 0.0
    jitter_s: float = 0.0
    packet: int = 32
    lost: tuple[tuple[int, int], ...] = ()
    reset: tuple[float, float] | None = None
    seeg_offset: float = -7.25
    audio_offset: float = 1000.5
    unit: str = "microvolts"
    explicit: bool = True
    offsets_until_s: float = np.inf
    seed: int = 1
    words: tuple[tuple[float, float, str], ...] = ((2.0, 1.5, "huis"), (5.0, 1.0, "boom"))
    audio: bool = True
    origin: float = 5000.0
    extra: tuple[Stream, ...] = field(default_factory=tuple)

    def streams(self) -> tuple[Stream, ...]:
        labels = tuple(f"A{i + 1}" for i in range(self.contacts))
        seeg = Stream(
            1, "Micromed", "EEG", self.contacts, self.fs, "float32", labels,
            (self.unit,) * self.contacts, ("SEEG",) * self.contacts,
        )  # fmt: skip
        audio = Stream(2, "AudioCaptureWin", "Audio", 1, self.audio_rate, "int16")
        marks = Stream(3, "SingleWordsMarkerStream", "Markers", 1, 0, "string")
        return (seeg, *([audio] if self.audio else []), marks, *self.extra)

    def seeg_values(self, index: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        values = 50 * rng.standard_normal((int(self.seconds * self.fs) + 1, self.contacts))
        values = values.astype(np.float32)[index]
        values[:, 0] = index % 4096
        return values

    def times(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the sEEG samples that came, and their time on the recorder's clock."""
        index = np.arange(int(self.seconds * self.fs))
        gone = np.zeros(len(index), bool)
        for first, count in self.lost:
            gone[first : first + count] = True
        rng = np.random.default_rng(self.seed + 1)
        late = self.jitter_s * np.abs(rng.standard_normal(len(index) // self.packet + 1))
        steady = self._steady(index)
        times = steady + np.repeat(late, self.packet)[: len(index)]
        return index[~gone], times[~gone]

    def _steady(self, index: np.ndarray) -> np.ndarray:
        return self.origin + index / (self.fs * (1 + 1e-6 * self.seeg_ppm))

    def sender(self, recorder: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Times on the sEEG sender's clock, and the offsets that lead back."""
        offset = np.full(len(recorder), self.seeg_offset)
        if self.reset:
            at, to = self.reset
            offset[recorder >= self.origin + at] = self.origin + at - to
        return recorder - offset, offset

    def sound(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples and their times on the recorder's clock."""
        rate = self.audio_rate * (1 + 1e-6 * self.audio_ppm)
        count = int(self.seconds * rate)
        sound = np.zeros(count)
        clicks = np.round(np.arange(1, int(self.seconds)) * rate).astype(int)
        sound[clicks] = 0.9
        return np.round(sound * 32767).astype(np.int16), self.origin + np.arange(count) / rate

    def write(self, path: Path, footers: bool = True) -> Path:
        index, times = self.times()
        stamps, _ = self.sender(times)
        steady = self._steady(index)
        sound, heard = self.sound()
        values = self.seeg_values(index)
        with XdfWriter(path) as out:
            for stream in self.streams():
                out.header(stream)
            out.boundary()
            for k in range(int(np.ceil(2 * self.seconds))):
                span = (self.origin + k / 2, self.origin + (k + 1) / 2)
                if k % 10 == 1 and k / 2 < self.offsets_until_s:
                    self._offsets(out, span[0])
                if k % 20 == 19:
                    out.boundary()
                mine = slice(*np.searchsorted(steady, span))
                self._seeg(out, values[mine], stamps[mine])
                part = slice(*np.searchsorted(heard, span))
                if self.audio and part.stop > part.start:
                    out.samples(2, sound[part], heard[part] - self.audio_offset)
                self._marks(out, span)
            for stream in self.streams() if footers else ():
                out.footer(stream.id)
        return path

    def _marks(self, out: XdfWriter, span: tuple[float, float]) -> None:
        marks = sorted(
            [(on, f"start;{text}") for on, _, text in self.words]
            + [(on + length, f"end;{text}") for on, length, text in self.words]
            + [(0.5, "experimentStarted"), (self.seconds - 0.5, "experimentEnded")]
        )
        for time, text in marks:
            if span[0] <= self.origin + time < span[1]:
                out.samples(3, [(text,)], [self.origin + time])

    def _seeg(self, out: XdfWriter, values: np.ndarray, stamps: np.ndarray) -> None:
        stamps = stamps.copy()
        if not self.explicit:
            stamps[1:][np.abs(np.diff(stamps) - 1 / self.fs) < 1e-9] = np.nan
        if len(stamps):
            out.samples(1, values, stamps)

    def _offsets(self, out: XdfWriter, now: float) -> None:
        stamp, offset = self.sender(np.array([now]))
        out.offset(1, float(stamp[0]), float(offset[0]))
        if self.audio:
            out.offset(2, now - self.audio_offset, self.audio_offset)
        out.offset(3, now, 0.0)
