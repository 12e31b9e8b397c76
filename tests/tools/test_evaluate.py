"""The verb `evaluate`, and its report."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest

from models.bundle import load_bundle
from models.errors import BusyOutputError, RecordingError, SettingsError
from tests.bundles import TINY_NETWORK
from tests.training.recordings import tiny_recording
from tools import evaluate
from training.evaluate import NETWORK
from training.experiment import export, train
from training.int8 import MARGIN
from training.settings import ExperimentSettings, OptimiserSettings, PhaseSettings

sf = pytest.importorskip("soundfile")


def run(*argv: object) -> int:
    top = argparse.ArgumentParser()
    evaluate.add_parser(top.add_subparsers())
    args = top.parse_args(["evaluate", *map(str, argv)])
    return int(args.run(args))


@pytest.fixture(scope="module")
def nwb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_recording(tmp_path_factory.mktemp("patient"), minutes=1.0)


@pytest.fixture(scope="module")
def experiment(nwb: Path) -> Path:
    phase = PhaseSettings(steps=15, batch=4, stretch_hops=60, warm_hops=15, learning_rate=5e-3)
    settings = ExperimentSettings(
        network=TINY_NETWORK,
        optimiser=OptimiserSettings(encoder=phase, network=phase),
        test_fraction=0.4,
    )
    folder = nwb.parents[3] / "experiment"
    train(nwb, settings, folder, progress=False)
    return folder


def test_an_experiment_gives_figures_and_a_report(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tmp_path / "e.json", tmp_path / "e.html"
    options = ("--baselines", "linear", "--retrain", 2, "--contribution-s", 3)
    assert run(experiment, "--json", files[0], "--html", files[1], *options) == 0
    said = capsys.readouterr().out
    assert NETWORK in said and "STOI" in said and "trials exchanged" in said
    figures = json.loads(files[0].read_text())
    names = [line["name"] for line in figures["lines"]]
    assert names[:2] == [NETWORK, "linear"] and "cue-locked average" in names
    linear = figures["lines"][1]
    assert linear["retrainings"] == 2 and linear["p_retrained"] >= 1 / 3
    assert linear["sound"]["mcd_dtw_db"] <= linear["sound"]["mcd_db"] + 1e-9
    assert len(figures["bins_r"]["linear"]) == 80
    assert np.mean(figures["bins_r"]["linear"]) == pytest.approx(linear["mel_r"])
    assert len(figures["contributions"]["contacts"]) == 8
    assert len(figures["contamination"]["contacts"]) == 8
    page = files[1].read_text()
    for title in ("Spectrograms", "r per band", "Attention", "Contribution", "contamination"):
        assert title in page
    assert page.count("<audio") == 4 and page.count("<svg") == 5
    addresses = set(re.findall(r"https?://[^\"'\s<)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert len(page) < 8e6
    with pytest.raises(BusyOutputError):
        run(experiment, "--json", files[0])


def test_folds_without_a_network(
    nwb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "folds.json", tmp_path / "folds.html"
    options = ("--baselines", "linear,causal ridge", "--retrain", 0, "--no-sound")
    made = ("--json", out, "--html", page)
    assert run(nwb, "--folds", 2, "--no-network", *options, *made) == 0
    assert "2 contiguous folds" in capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert set(figures["summary"]) >= {"linear", "causal ridge", "speech/silence oracle"}
    assert figures["summary"]["linear"]["mel_r"]["count"] == len(figures["folds"]) == 2
    assert "Over folds" in page.read_text() and "No network was scored" in page.read_text()


def test_a_bundle_with_its_recording_scores_as_its_experiment(
    experiment: Path, nwb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same held-out part, found by what the bundle says of its training; tolerance: baselines
    are fitted twice, and the bundle's network has int8 weights, whose cost is bounded."""
    bundle = tmp_path / "bundle"
    export(experiment, bundle)
    options = ("--baselines", "linear", "--retrain", 0, "--no-contamination", "--no-sound")
    files = tmp_path / "e.json", tmp_path / "b.json", tmp_path / "b.html"
    assert run(experiment, "--json", files[0], *options) == 0
    made = ("--json", files[1], "--html", files[2], "--contribution-s", 0)
    assert run(bundle, "--recording", nwb, *made, *options) == 0
    assert NETWORK in capsys.readouterr().out
    first, second = (json.loads(file.read_text()) for file in files[:2])
    for a, b in zip(first["lines"], second["lines"], strict=True):
        near = MARGIN if a["name"] == NETWORK else 1e-5
        assert (a["name"], a["mel_r"]) == (b["name"], pytest.approx(b["mel_r"], abs=near))
        assert a["mel_r_speech"] == pytest.approx(b["mel_r_speech"], abs=near)
    assert "Attention" in files[2].read_text()
    scores = load_bundle(bundle).spec.scores
    table = {line["name"]: line["mel_r"] for line in scores["lines"]}
    assert table[NETWORK] == pytest.approx(second["lines"][0]["mel_r"], abs=1e-5)
    other = tiny_recording(tmp_path, minutes=0.5, seed=1)
    with pytest.raises(RecordingError, match="held out means nothing"):
        run(bundle, "--recording", other)
    with pytest.raises(SettingsError, match="settings of its training"):
        run(bundle, "--recording", nwb, *options, "--retrain-network", 1)


def test_leaked_sound_is_flagged_and_its_contacts_can_be_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No neural signal at all: what is decoded is the sound itself."""
    leaking = tiny_recording(tmp_path, minutes=1.5, gain=0.0, leak_db=6.0)
    options = ("--no-network", "--baselines", "linear", "--no-sound", "--retrain", 0)
    found = {}
    for kind, more in (("kept", ()), ("given up", ("--exclude-contaminated",))):
        out = tmp_path / f"{kind}.json"
        assert run(leaking, "--folds", 2, *options, *more, "--json", out) == 0
        found[kind] = json.loads(out.read_text())
        said = capsys.readouterr().err
        assert kind == "given up" or "may contain the sound" in said
    assert all(fold["contamination"]["p"] < 0.001 for fold in found["kept"]["folds"])
    assert found["kept"]["excluded_contacts"] == [[], []]
    for fold, names in zip(
        found["given up"]["folds"], found["given up"]["excluded_contacts"], strict=True
    ):
        checked = {contact["contact"] for contact in fold["contamination"]["contacts"]}
        assert names and not checked & set(names) and len(checked) + len(names) == 8
    r = {kind: one["summary"]["linear"]["mel_r"]["mean"] for kind, one in found.items()}
    assert r["given up"] < r["kept"]


def test_missing_stretches_do_no_harm(tmp_path: Path) -> None:
    """Seconds of every contact and one contact altogether: all scores are numbers."""
    h5py = pytest.importorskip("h5py")
    file = tiny_recording(tmp_path, minutes=1.0)
    with h5py.File(file, "r+") as opened:
        data = opened["acquisition/iEEG/data"]
        data[10 * 1024 : 12 * 1024] = np.nan
        data[50 * 1024 : 52 * 1024] = np.nan
        data[:, 3] = np.nan
    out = tmp_path / "gaps.json"
    names = ("--baselines", "linear,causal ridge", "--retrain", 0, "--no-sound")
    assert run(file, "--folds", 2, "--no-network", *names, "--json", out) == 0
    figures = json.loads(out.read_text())
    for fold in figures["folds"]:
        for line in fold["lines"]:
            assert np.isfinite([line["mel_r"], line["mel_r_speech"], line["components_r"]]).all()
    assert figures["summary"]["linear"]["mel_r"]["mean"] > 0.3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--no-network",), "--no-network without --folds"),
        (("--max-minutes", "1"), "--max-minutes without --folds"),
        (("--exclude-contaminated",), "--exclude-contaminated without --folds"),
        (("--folds", "2", "--recording", "x.nwb"), "--recording together with"),
        (("--settings", "x.toml"), "--settings for an experiment"),
    ],
)
def test_options_are_not_passed_over(options: tuple[str, ...], said: str, experiment: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        run(experiment, *options)


def test_a_recording_shorter_than_its_folds(nwb: Path) -> None:
    with pytest.raises(SettingsError, match="folds"):
        run(nwb, "--folds", 40, "--no-network")


def test_shuffled_frames_are_refused(nwb: Path, tmp_path: Path) -> None:
    for text in ("shuffle_frames = true", "[folds]\nshuffle_frames = true"):
        settings = tmp_path / "shuffled.toml"
        settings.write_text(text)
        with pytest.raises(SettingsError, match=r"shuffled.*\.98"):
            run(nwb, "--folds", 2, "--settings", settings)


def test_two_sounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    bursts = np.repeat(rng.random(96) > 0.4, 2756) * rng.normal(0, 0.1, 96 * 2756)
    for name, noise in (("a", 0.0), ("b", 0.02)):
        sf.write(tmp_path / f"{name}.wav", bursts + noise * rng.normal(size=len(bursts)), 22_050)
    out = tmp_path / "ab.json"
    assert run("--against", tmp_path / "a.wav", tmp_path / "b.wav", "--json", out) == 0
    figures = json.loads(out.read_text())
    keys = {"mel_r", "mel_r_speech", "oracle_mel_r", "stoi", "estoi", "mcd_db", "mcd_dtw_db"}
    assert keys <= set(figures) and figures["chance"]["mel_r_p"] < 0.05
    assert f"{figures['mel_r']:.3f}" in capsys.readouterr().out


def test_what_cannot_be_evaluated_is_said(nwb: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    with pytest.raises(SettingsError, match="nothing to evaluate"):
        run()
    with pytest.raises(SettingsError, match=r"neither an experiment nor a bundle.*--folds"):
        run(nwb)
    with pytest.raises(SettingsError, match="--recording"):
        run(tiny_bundle)
    with pytest.raises(SettingsError, match="together"):
        run(nwb, "--against", nwb, nwb)
    with pytest.raises(SettingsError, match="no baseline 'cubic'"):
        run(nwb, "--folds", 2, "--no-network", "--baselines", "cubic")


def test_another_recording_is_refused(experiment: Path, tmp_path: Path) -> None:
    other = tiny_recording(tmp_path, minutes=0.5, seed=1)
    with pytest.raises(RecordingError, match=r"SHA-256.*held out means nothing"):
        run(experiment, "--recording", other)
