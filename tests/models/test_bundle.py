from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.bundle import FILES, SUMS, load_bundle, write_bundle
from models.errors import BundleError, BusyOutputError
from models.files import new_file, new_folder, sha256
from realtime.golden import STAGES, check_golden
from realtime.pipeline import Pipeline


@pytest.fixture
def copied(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def resign(bundle: Path) -> None:
    (bundle / SUMS).write_text("".join(f"{sha256(bundle / n)}  {n}\n" for n in FILES))


@pytest.mark.parametrize("name", [*FILES, SUMS])
def test_one_flipped_byte_anywhere_is_noticed(copied: Path, name: str) -> None:
    raw = bytearray((copied / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copied / name).write_bytes(raw)
    with pytest.raises(BundleError, match=r"SHA-256|lists"):
        load_bundle(copied)


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "decoder_step.onnx").unlink()
    with pytest.raises(BundleError, match=r"decoder_step\.onnx has SHA-256 no file"):
        load_bundle(copied)


def test_a_newer_schema_is_refused(copied: Path) -> None:
    spec = json.loads((copied / "spec.json").read_text())
    (copied / "spec.json").write_text(json.dumps({**spec, "schema_version": 2, "new": 1}))
    resign(copied)
    with pytest.raises(BundleError, match="schema version 2; expected 1; update"):
        load_bundle(copied)


@pytest.mark.parametrize("more", [True, False])
def test_a_newer_schema_with_other_files_is_recognised(copied: Path, more: bool) -> None:
    spec = json.loads((copied / "spec.json").read_text())
    (copied / "spec.json").write_text(json.dumps({**spec, "schema_version": 2}))
    names = [*FILES, "vocoder.onnx"] if more else [n for n in FILES if n != "golden.npz"]
    (copied / "vocoder.onnx").write_bytes(b"new in schema 2")
    (copied / SUMS).write_text("".join(f"{sha256(copied / n)}  {n}\n" for n in names))
    with pytest.raises(BundleError, match="schema version 2; expected 1; update"):
        load_bundle(copied)


def test_other_files_in_this_schema_are_damage(copied: Path) -> None:
    (copied / SUMS).write_text((copied / SUMS).read_text() + f"{'0' * 64}  extra.bin\n")
    with pytest.raises(BundleError, match=r"lists .*extra\.bin"):
        load_bundle(copied)


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is no JSON"), ("[]", "schema version None"), ("{}", "version None")]
)
def test_a_spec_that_is_none_is_refused(copied: Path, text: str, said: str) -> None:
    (copied / "spec.json").write_text(text)
    resign(copied)
    with pytest.raises(BundleError, match=said):
        load_bundle(copied)


def test_another_hop_is_refused(copied: Path) -> None:
    spec = json.loads((copied / "spec.json").read_text())
    assert spec["hop_s"] == "3/200"
    (copied / "spec.json").write_text(json.dumps({**spec, "hop_s": "1/100"}))
    resign(copied)
    with pytest.raises(BundleError, match="hop_s 1/100 is not 3/200 s"):
        load_bundle(copied)


def test_an_unknown_key_is_refused(copied: Path) -> None:
    spec = json.loads((copied / "spec.json").read_text())
    (copied / "spec.json").write_text(json.dumps({**spec, "colour": "blue"}))
    resign(copied)
    with pytest.raises(BundleError, match="colour"):
        load_bundle(copied)


def test_a_folder_without_sums_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no SHA256SUMS"):
        load_bundle(tmp_path)


def test_golden_vectors_find_the_stage_that_departs(copied: Path) -> None:
    pipeline = Pipeline.from_bundle(load_bundle(copied))
    assert max(check_golden(pipeline, load_bundle(copied)).values()) < 1e-5
    with np.load(copied / "golden.npz") as file:
        golden = {name: file[name] for name in file.files}
    for stage in STAGES[:3]:
        broken = {**golden, stage: golden[stage] + 1.0}
        np.savez_compressed(copied / "golden.npz", **broken)
        resign(copied)
        with pytest.raises(BundleError, match=f"{stage} departs"):
            check_golden(pipeline, load_bundle(copied))


def test_no_code_and_no_pickle_in_a_bundle(tiny_bundle: Path) -> None:
    assert sorted(p.name for p in tiny_bundle.iterdir()) == sorted([*FILES, SUMS])
    for name in ("arrays.npz", "golden.npz"):
        with np.load(tiny_bundle / name, allow_pickle=False) as file:
            assert all(file[key].dtype != object for key in file.files)


def test_an_existing_bundle_is_not_overwritten(copied: Path) -> None:
    bundle = load_bundle(copied)
    graphs = {"encoder": copied / "encoder_step.onnx", "decoder": copied / "decoder_step.onnx"}
    with pytest.raises(BusyOutputError, match="exists already"):
        write_bundle(copied, bundle.spec, graphs, bundle.arrays, bundle.golden())


def test_a_failure_leaves_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as folder:
        (folder / "part").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_overwriting_replaces_like_with_like(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "part").write_text("mine")
    with (
        pytest.raises(
            BusyOutputError, match="file exists already and is a file; expected a folder"
        ),
        new_folder(tmp_path / "file", overwrite=True),
    ):
        pytest.fail("the block must not run")
    with (
        pytest.raises(BusyOutputError, match="exists already and is a folder; expected a file"),
        new_file(tmp_path / "folder", overwrite=True),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "part").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    with new_folder(tmp_path / "folder", overwrite=True) as folder:
        (folder / "part").write_text("new")
    assert (tmp_path / "folder" / "part").read_text() == "new"


def test_a_busy_output_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(BusyOutputError, match="another path, or give --overwrite where the command"),
        new_file(tmp_path / "file"),
    ):
        pytest.fail("the block must not run")
