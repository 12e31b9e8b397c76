"""The public baseline against a second writing of its authors' protocol, from the same NWB file.

The reference below follows the published description step by step, in float64 and frame by frame,
and shares no line with `training.baselines.swpd`; it reads the file as the authors do, raw columns
and nominal rates. So a figure that agrees on any file in that layout agrees on the public ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from models.errors import SettingsError
from tests.tools.test_evaluate import run
from tests.training.recordings import tiny_recording
from training.baselines import public_baseline, read_public

h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def nwb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight columns of iEEG, one of which channels.tsv does not call a contact."""
    file = tiny_recording(tmp_path_factory.mktemp("public"), minutes=1.0, seed=3)
    listing = next(file.parent.glob("*_channels.tsv"))
    rows = listing.read_text().splitlines()
    cells = rows[4].split("\t")
    cells[:2] = ["EKG", "ECG"]
    rows[4] = "\t".join(cells)
    listing.write_text("\n".join(rows) + "\n")
    return file


# --- the reference ------------------------------------------------------------------------------


def raw(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """iEEG `(samples, columns)` and Audio `(n,)`, as numbers."""
    with h5py.File(file) as nwb:
        series = nwb["acquisition"]
        return series["iEEG/data"][:].astype(float), series["Audio/data"][:].astype(float)


def windows(count: int, rate: int) -> list[slice]:
    """50 ms every 10 ms, starts and stops rounded down."""
    starts = [int(np.floor(w * 0.01 * rate)) for w in range(count)]
    return [slice(start, int(np.floor(start + 0.05 * rate))) for start in starts]


def high_gamma(ieeg: np.ndarray) -> np.ndarray:
    x = signal.detrend(ieeg, axis=0)
    nyquist = 512
    for low, high, kind in ((70, 170, "bandpass"), (98, 102, "bandstop"), (148, 152, "bandstop")):
        sections = signal.iirfilter(4, [low / nyquist, high / nyquist], btype=kind, output="sos")
        x = signal.sosfiltfilt(sections, x, axis=0)
    from scipy.fft import next_fast_len

    envelope = np.abs(signal.hilbert(x, next_fast_len(len(x)), axis=0)[: len(x)])
    count = int(np.floor((len(ieeg) - 0.05 * 1024) / (0.01 * 1024)))
    return np.array([envelope[span].mean(axis=0) for span in windows(count, 1024)])


def log_mels(audio: np.ndarray) -> np.ndarray:
    low = signal.decimate(audio, 3)
    sound = (low / np.max(np.abs(low)) * 32767).astype(np.int16)
    count = int(np.floor((len(sound) - 800) / 160))
    window = np.hanning(801)[:-1]
    spectra = np.array(
        [np.abs(np.fft.rfft(window * sound[span])) for span in windows(count, 16_000)]
    )
    edges = np.arange(25) * (2595 * np.log10(1 + 8000 / 700) / 24)
    hertz = [int(np.floor(700 * (10 ** (mel / 2595) - 1) + 1e-6)) for mel in edges]
    bins = [int(np.floor(f / 8000 * 401)) for f in hertz]
    filters = np.zeros((401, 23))
    for i in range(23):
        a, b, c = bins[i : i + 3]
        for k in range(a, b):
            filters[k, i] = (k - a) / (b - a)
        for k in range(b, c):
            filters[k, i] = (c - k) / (c - b)
    filters /= filters.sum(axis=0)
    return np.log(spectra @ filters + 1e-7)


def reference(file: Path) -> np.ndarray:
    """Pearson r, `(10 folds, 23 bins)`."""
    ieeg, audio = raw(file)
    envelope, mels = high_gamma(ieeg), log_mels(audio)
    centres = range(20, len(envelope) - 20)
    data = np.array([envelope[i - 20 : i + 21 : 5].ravel() for i in centres])
    mels = mels[20 : len(mels) - 20]
    frames = min(len(data), len(mels))
    data, mels = data[:frames], mels[:frames]
    sizes = np.full(10, frames // 10)
    sizes[: frames % 10] += 1
    stops = np.cumsum(sizes)
    found = np.empty((10, 23))
    for fold, (stop, size) in enumerate(zip(stops, sizes, strict=True)):
        held = np.zeros(frames, bool)
        held[stop - size : stop] = True
        mean, deviation = data[~held].mean(axis=0), data[~held].std(axis=0)
        z = (data - mean) / deviation
        _, _, axes = np.linalg.svd(z[~held] - z[~held].mean(axis=0), full_matrices=False)
        scores = z @ axes[:50].T
        design = np.column_stack([scores, np.ones(frames)])
        weights = np.linalg.lstsq(design[~held], mels[~held], rcond=None)[0]
        made = design[held] @ weights
        found[fold] = [np.corrcoef(mels[held, i], made[:, i])[0, 1] for i in range(23)]
    return found


# --- the tests ----------------------------------------------------------------------------------


def test_it_is_the_protocol_of_its_authors(nwb: Path) -> None:
    """To 2e-4 in every fold and bin: float32 features here, and a window of theirs starts a sample
    earlier where 0.01 times its number rounds down. The published figure has four digits."""
    found, expected = public_baseline(read_public(nwb)), reference(nwb)
    np.testing.assert_allclose(found.folds, expected, atol=2e-4)
    assert abs(found.r - expected.mean()) < 2e-5
    assert found.r > 0.3


def test_every_column_counts_whatever_its_type(nwb: Path) -> None:
    """Their scripts take the whole series; without one column the figure is another."""
    everything = read_public(nwb)
    assert len(everything.labels) == 8 and "EKG" in everything.labels
    fewer = read_public(nwb, {"contacts": tuple(n for n in everything.labels if n != "EKG")})
    assert abs(public_baseline(fewer).r - public_baseline(everything).r) > 1e-4


def test_the_command_prints_and_writes_it(
    nwb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "public.json"
    assert run(nwb, "--public-baseline", "--json", out) == 0
    found = json.loads(out.read_text())["public_baseline"]
    said = capsys.readouterr().out
    assert f"r {found['r']:.4f}" in said and "0.5200" in said
    assert found["r"] == pytest.approx(reference(nwb).mean(), abs=2e-5)
    assert len(found["folds"]) == 10 and found["chance_95"] < found["r"]


def test_it_is_one_of_the_baselines_of_folds(
    nwb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tmp_path / "folds.json", tmp_path / "folds.html"
    options = ("--no-network", "--no-sound", "--no-contamination", "--retrain", 0)
    made = ("--json", files[0], "--html", files[1])
    assert run(nwb, "--folds", 2, "--baselines", "linear,public", *options, *made) == 0
    figures = json.loads(files[0].read_text())
    assert {"public_baseline", "summary"} <= set(figures)
    assert "public" not in figures["summary"] and "linear" in figures["summary"]
    page = files[1].read_text()
    assert "Public baseline" in page and f"{figures['public_baseline']['r']:.4f}" in page
    assert "public baseline" in capsys.readouterr().out


def test_a_page_of_it_alone_is_refused(nwb: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="public baseline alone"):
        run(nwb, "--public-baseline", "--html", tmp_path / "x.html")
