import argparse
import json
import shutil

import numpy as np
import pytest

from models.bundle import DECODER, ENCODER, SPEC
from models.errors import BundleError
from tests.bundles import TINY_CONTACTS
from tools import inspect
from tools.onnx_weights import count_weights


def call(*words):
    parser = argparse.ArgumentParser()
    inspect.add_parser(parser.add_subparsers())
    args = parser.parse_args(["inspect", *map(str, words)])
    return args.run(args)


def test_json_says_what_the_bundle_is(tiny_bundle, capsys):
    assert call(tiny_bundle, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["contacts"] == list(TINY_CONTACTS)
    assert facts["shafts"] == ["LA1-4", "RB1-4"]
    assert (facts["rate_hz"], facts["samples_per_hop"]) == ("1024", "384/25")
    each = {k: v for k, v in facts["lookahead_ms"].items() if k != "total"}
    assert facts["lookahead_ms"]["total"] == pytest.approx(sum(each.values()))
    assert facts["proof"]["torch_vs_onnx_max"] <= facts["proof"]["tolerance"]
    assert set(facts["golden"]["departures"]) == set(facts["golden"]["tolerances"])


def test_text_holds_the_same_in_words(tiny_bundle, capsys):
    assert call(tiny_bundle, "--no-golden") == 0
    text = capsys.readouterr().out
    for piece in ("LA1-4  RB1-4", "384/25 samples (15.36)", "not replayed", "none recorded"):
        assert piece in text


def test_scores_are_shown_as_recorded():
    from tests.synthetic_run import synthetic_scores

    lines = inspect._score_lines(synthetic_scores())
    network = next(line for line in lines if line.startswith("causal network"))
    figures = ["0.610", "0.120", "0.004", "0.220", "0.060", "0.020", "0.073"]
    assert network.split()[-7:] == figures
    assert any("sees 200 ms of future" in line for line in lines)


@pytest.mark.parametrize("name", [ENCODER, DECODER])
def test_weights_are_counted_as_onnx_counts_them(tiny_bundle, name):
    onnx = pytest.importorskip("onnx")
    tensors = list(onnx.load(str(tiny_bundle / name)).graph.initializer)
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in tensors]
    counted = count_weights(tiny_bundle / name)
    assert counted.parameters == sum(a.size for a in arrays) > 1000
    assert counted.bytes == sum(a.nbytes for a in arrays)


def test_every_tensor_type_and_layout_is_counted(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    kinds = (np.float16, np.float32, np.float64, np.int8, np.int64, np.bool_)
    arrays = [np.ones((3, i + 1), kind) for i, kind in enumerate(kinds)]
    constant = np.ones(7, np.float32)
    node = helper.make_node(
        "Constant", [], ["y"], value=onnx.numpy_helper.from_array(constant, "c")
    )
    listed = helper.make_tensor("listed", onnx.TensorProto.FLOAT, [2, 2], [1.0, 2, 3, 4])
    weights = [onnx.numpy_helper.from_array(a, f"w{i}") for i, a in enumerate(arrays)] + [listed]
    graph = helper.make_graph([node], "g", [], [], weights)
    path = tmp_path / "graph.onnx"
    onnx.save(helper.make_model(graph), str(path))
    counted = count_weights(path)
    assert counted.parameters == sum(a.size for a in arrays) + 7 + 4
    assert counted.bytes == sum(a.nbytes for a in arrays) + 28 + 16


def test_a_truncated_graph_is_refused(tiny_bundle, tmp_path):
    path = tmp_path / "half.onnx"
    raw = (tiny_bundle / ENCODER).read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(BundleError, match="cannot be read as ONNX"):
        count_weights(path)


def test_an_edited_bundle_is_refused(tiny_bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    (copy / SPEC).write_text((copy / SPEC).read_text().replace("tiny", "tidy"))
    with pytest.raises(BundleError, match="damaged or was edited"):
        call(copy)


@pytest.mark.parametrize(
    ("contacts", "expected"),
    [
        (("LA1", "LA2", "LA3", "LA5"), ["LA1-3,5"]),
        (("B'2", "B'1", "Cz"), ["B'2,1", "Cz"]),
        (("A1", "B1", "A2"), ["A1", "B1", "A2"]),
    ],
)
def test_shafts_keep_montage_order(contacts, expected):
    assert inspect.shafts(contacts) == expected
