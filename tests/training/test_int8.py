"""int8 weights: tried at export, kept where the network decodes as well, float32 always beside."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle, load_bundle
from models.errors import BundleError
from realtime.golden import check_golden
from realtime.graph import OnnxGraph
from realtime.pipeline import Pipeline
from tests.bundles import noise_uv, tiny_trained
from training import int8
from training.onnx_export import export_products, export_steps
from training.package import package
from training.proof import decode_stepped
from training.stretches import Part

SECONDS = 20


@pytest.fixture(autouse=True, scope="module")
def small_matrices_too() -> Iterator[None]:
    """A tiny network has no large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "SMALLEST", 100)
        # Random weights give a mel that hardly moves: rounding weighs more than in a trained one.
        patch.setattr(int8, "MARGIN", 0.1)
        yield


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Part:
    """Features with the mel that the network itself makes of them, and a little noise."""
    trained = tiny_trained()
    features = trained.front_end().step(noise_uv(SECONDS, seed=3))
    made = export_steps(trained.network, tmp_path_factory.mktemp("steps"))
    graphs = OnnxGraph(made["encoder"]), OnnxGraph(made["decoder"])
    mel = decode_stepped(graphs, trained.spec, features)
    noise = mel.std(axis=0) * np.random.default_rng(0).standard_normal(mel.shape)
    # Half of the frames stand out as speech.
    loud = 3.0 * (np.arange(len(mel)) // 40 % 2)[:, None]
    truth = (mel + 0.3 * noise + loud).astype(np.float32)
    return Part(features, truth, trained.spec.clock)


def packaged(path: Path, part: Part) -> Bundle:
    return package(tiny_trained(), path, noise_uv(5, seed=1), training=part)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, part: Part) -> Bundle:
    """A bundle with both; read it, do not write into it."""
    return packaged(tmp_path_factory.mktemp("int8") / "both", part)


def test_products_are_the_network(tmp_path: Path) -> None:
    trained = tiny_trained()
    features = trained.front_end().step(noise_uv(SECONDS))
    made = export_steps(trained.network, tmp_path)
    plain = OnnxGraph(made["encoder"]), OnnxGraph(made["decoder"])
    encoder, decoder = map(OnnxGraph, export_products(trained.network, tmp_path))
    a = decode_stepped(plain, trained.spec, features)
    b = decode_stepped((encoder, decoder), trained.spec, features)
    # The same sums in another order.
    assert np.max(np.abs(a - b)) < 1e-4


def test_int8_is_kept_and_preferred_where_it_decodes_as_well(both: Bundle, part: Part) -> None:
    bundle, trial = both, both.spec.proof["int8"]
    assert trial["passed"], trial
    assert bundle.spec.weights == "int8"
    assert trial["speech_r_float32"] > 0.5
    assert trial["speech_r_int8"] >= trial["speech_r_float32"] - 0.1
    # Something was rounded, and not much: 1 % of the spread of the mel.
    assert 0 < trial["mel_departure_rms"] < 0.01 * float(np.std(part.mel))
    sizes = [sum(p.stat().st_size for p in bundle.graphs(w)) for w in ("int8", "float32")]
    assert sizes[0] < sizes[1]


def test_both_are_proved_by_their_golden_vectors(both: Bundle) -> None:
    bundle = both
    for weights in ("int8", "float32"):
        departures = check_golden(Pipeline.from_bundle(bundle, weights=weights), bundle, weights)
        assert max(departures.values()) < 1e-6
    with pytest.raises(BundleError, match=r"encoder\.int8 departs"):
        other = Pipeline.from_bundle(bundle, weights="float32")
        other.encoder.step = lambda block: np.zeros((133, 24), np.float32)  # type: ignore[method-assign]
        check_golden(other, bundle, "int8")


def test_int8_that_costs_too_much_is_left_out(
    tmp_path: Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "MARGIN", -2.0)
    bundle = packaged(tmp_path / "plain", part)
    assert bundle.spec.weights == "float32"
    assert not bundle.spec.proof["int8"]["passed"]
    assert not bundle.has("int8")
    with pytest.raises(BundleError, match="no graphs with int8 weights"):
        bundle.graphs("int8")


def test_a_bundle_that_lost_its_preferred_graphs_is_refused(tmp_path: Path, both: Bundle) -> None:
    copy = shutil.copytree(both.path, tmp_path / "copy")
    (copy / "decoder_step.int8.onnx").unlink()
    with pytest.raises(BundleError, match=r"decoder_step\.int8\.onnx has SHA-256 no file"):
        load_bundle(copy)
