"""What the tests of offline replay decode: bundles of any montage, sessions, XDF files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import load_bundle, write_bundle
from models.hops import encoder_stride
from realtime.environment import environment
from realtime.golden import make_golden
from realtime.parts import new_core
from realtime.pipeline import Pipeline
from realtime.record.record import Record
from realtime.redecode.offline import Stepwise
from realtime.redecode.pulls import Pull, play
from realtime.settings import LiveSettings
from tests.bundles import tiny_bundle_path
from tests.xdf_files import Stream, XdfWriter

LABELS = tuple(f"A{n}" for n in range(1, 9))
FS = 1024
_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def noise(
    seconds: float, contacts: int = len(LABELS), fs_hz: int = FS, seed: int = 0
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 30, (int(seconds * fs_hz), contacts)).astype(np.float32)


@cache
def bundle_for(contacts: tuple[str, ...] = LABELS, fs_hz: int = FS, loudness: float = 1.0) -> Path:
    """The tiny bundle with other names, rate or statistics; read it, do not write into it.

    It can be stepped if the rate asks for the stride that its graphs have, 10 samples, and there
    are 8 contacts; others are good for being refused.
    """
    tiny = load_bundle(tiny_bundle_path())
    fs = Fraction(fs_hz)
    changes = {"name": "made", "contacts": contacts, "fs_hz": fs, "stride": encoder_stride(fs)}
    spec = tiny.spec.model_copy(update=changes)
    graphs = {"float32": tiny.graphs("float32")}
    arrays = tiny.arrays | {"std": tiny.arrays["std"] * loudness}
    golden = tiny.golden()
    folder = tempfile.TemporaryDirectory(prefix="seegvox-made-bundle-")
    _KEPT.append(folder)
    path = Path(folder.name) / "made"
    made = write_bundle(path, spec, graphs, arrays, golden)
    if loudness != 1.0 or (fs_hz != FS and spec.stride == tiny.spec.stride):
        golden = make_golden(Pipeline.from_bundle(made), golden["seeg"])
        write_bundle(path, spec, graphs, arrays, golden, overwrite=True)
    return path


def straight(bundle: Path, samples: np.ndarray) -> np.ndarray:
    """Mel frames of samples that come without a break."""
    pipeline = Pipeline.from_bundle(load_bundle(bundle))
    return np.array([hop.mel.copy() for hop in pipeline.hops(samples)])


def pulls_of(
    samples: np.ndarray, packet: int = 32, lost: Iterable[range] = (), start: float = 100.0
) -> list[Pull]:
    """Packets of steady samples, some of which never come."""
    gone = {n for span in lost for n in span}
    found = []
    for first in range(0, len(samples), packet):
        numbers = [n for n in range(first, min(first + packet, len(samples))) if n not in gone]
        if numbers:
            stamps = start + np.array(numbers) / FS
            found.append(Pull(samples[numbers], stamps, float(stamps[-1]) + 0.001))
    return found


def write_session(folder: Path, bundle: Path, pulls: Iterable[Pull], **about: Any) -> Path:
    """A session as the live loop records it, without LSL, sound or waiting."""
    found = load_bundle(bundle)
    settings = LiveSettings.model_validate({"bundle": bundle, "out": folder})
    said = {
        "settings": settings.model_dump(mode="json"),
        "bundle_sha256": found.hash,
        "calibration": None,
        "given_up_contacts": [],
        "environment": environment(),
        **about,
    }
    # As live: hop by hop.
    pipeline = Stepwise(Pipeline.from_bundle(found))
    contacts = found.spec.contacts
    with Record(folder, said, contacts, float(found.spec.fs_hz), markers=False) as record:
        emit = lambda event: record.event(event.kind, event.time, **event.details)  # noqa: E731
        core = new_core(found.spec, settings, pipeline, (), emit)
        for hop in play(_recorded(pulls, record), core, pipeline):
            record.hop(hop, hop.available, 0.0, False)
    return folder


def _recorded(pulls: Iterable[Pull], record: Record) -> Iterable[Pull]:
    for pull in pulls:
        gain_db = pull.gain_db or 0.0
        record.samples(pull.samples, pull.timestamps, pull.available, pull.stream, gain_db)
        yield pull


def write_xdf(
    path: Path,
    samples: np.ndarray,
    stamps: np.ndarray | None = None,
    labels: tuple[str, ...] = LABELS,
    unit: str = "microvolts",
    streams: tuple[tuple[str, str], ...] = (("amp", "EEG"),),
    fs_hz: float = FS,
    packet: int = 512,
) -> Path:
    """An XDF file whose streams (name, type) all hold these samples."""
    stamps = 50.0 + np.arange(len(samples)) / fs_hz if stamps is None else stamps
    with XdfWriter(path) as out:
        for number, (name, kind) in enumerate(streams, 1):
            width = samples.shape[1]
            units = (unit,) * width if unit else ()
            types = ("SEEG",) * width
            out.header(Stream(number, name, kind, width, fs_hz, "float32", labels, units, types))
        for start in range(0, len(samples), packet):
            part = slice(start, start + packet)
            for number in range(1, len(streams) + 1):
                out.samples(number, samples[part], stamps[part])
        for number in range(1, len(streams) + 1):
            out.footer(number)
    return path
