"""Conversion of NVIDIA's checkpoints: every form, equal weights, nothing run, errors that say."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.vocoders.checkpoints import (
    TINY,
    normed,
    pickled_module,
    random_weights,
    tensors,
)
from tools.cli import main
from training.vocoders.errors import CheckpointError
from training.vocoders.waveglow_convert import read_checkpoint
from training.vocoders.waveglow_file import load_waveglow, write_waveglow

WEIGHTS = random_weights(TINY)


def save(content: Any, path: Path, old: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


def assert_the_weights(path: Path) -> None:
    found = read_checkpoint(path)
    assert found.spec == TINY
    assert set(found.weights) == set(WEIGHTS)
    for name, wanted in WEIGHTS.items():
        # g * v / |v| in double, rounded once.
        np.testing.assert_allclose(found.weights[name], wanted, rtol=3e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_the_pickled_module(tmp_path: Path, old: bool, norm: bool) -> None:
    path = tmp_path / "glow.pt"
    pickled_module(normed(WEIGHTS) if norm else WEIGHTS, path, old)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert_the_weights(path)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("key", ["state_dict", "model", None])
def test_the_state_dict(tmp_path: Path, old: bool, prefix: str, key: str | None) -> None:
    state = {prefix + name: t for name, t in tensors(normed(WEIGHTS)).items()}
    content = state if key is None else {key: state, "config": {"sigma": 1.0}, "epoch": 3}
    assert_the_weights(save(content, tmp_path / "state.pt", old))


def test_torchs_later_weight_norm(tmp_path: Path) -> None:
    renamed = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): t
        for name, t in tensors(normed(WEIGHTS)).items()
    }
    assert_the_weights(save(renamed, tmp_path / "new.pt", False))


def test_the_oldest_form_is_put_together(tmp_path: Path) -> None:
    width, last = TINY.channels, TINY.layers - 1
    old: dict[str, np.ndarray] = {}
    for name, value in WEIGHTS.items():
        head, _, rest = name.partition(".cond_layer.")
        if rest:
            for i in range(TINY.layers):
                old[f"{head}.cond_layers.{i}.{rest}"] = value[2 * width * i : 2 * width * (i + 1)]
            continue
        head, _, rest = name.partition(".res_skip_layers.")
        if rest and not rest.startswith(f"{last}."):
            old[f"{head}.res_layers.{rest}"] = value[:width]
            old[f"{head}.skip_layers.{rest}"] = value[width:]
        elif rest:
            old[f"{head}.skip_layers.{rest}"] = value
        else:
            old[name] = value
    assert len(old) > len(WEIGHTS)
    path = tmp_path / "oldest.pt"
    pickled_module(normed(old), path, True)
    assert_the_weights(path)


@pytest.mark.parametrize(
    ("kind", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2), (torch.float64, 1e-7)]
)
def test_other_precisions(tmp_path: Path, kind: torch.dtype, tolerance: float) -> None:
    state = {name: t.to(kind) for name, t in tensors(WEIGHTS).items()}
    found = read_checkpoint(save(state, tmp_path / "half.pt", False)).weights
    for name, wanted in WEIGHTS.items():
        np.testing.assert_allclose(found[name], wanted, rtol=tolerance, atol=1e-6)


def test_views_are_read_as_they_are(tmp_path: Path) -> None:
    state = tensors(WEIGHTS)
    name = "WN.0.in_layers.0.weight"
    shared = torch.cat([torch.zeros(5), state[name].permute(2, 1, 0).reshape(-1)])
    size = state[name].shape
    state[name] = shared[5:].reshape(size[2], size[1], size[0]).permute(2, 1, 0)
    assert not state[name].is_contiguous()
    assert_the_weights(save(state, tmp_path / "views.pt", False))


def test_the_verb_writes_what_loads_and_renders_the_same(tmp_path: Path, capsys: Any) -> None:
    path, out = tmp_path / "glow.pt", tmp_path / "converted.pt"
    pickled_module(normed(WEIGHTS), path, True)
    assert main(["convert-waveglow", str(path), str(out)]) == 0
    assert "5 flows, 6 channels, 8 mel bands, 77 tensors" in capsys.readouterr().out
    plain = torch.load(out, weights_only=True)
    assert plain["about"]["source"] == "glow.pt"
    for name, tensor in load_waveglow(out).state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), WEIGHTS[name], rtol=3e-6, atol=1e-7)
    assert main(["convert-waveglow", str(path), str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


# ---- what must not pass


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("where", ["beside", "within"])
def test_a_checkpoint_with_code_in_it(tmp_path: Path, old: bool, where: str, capsys: Any) -> None:
    mark = tmp_path / "ran"
    state: dict[str, Any] = dict(tensors(WEIGHTS))
    content = {"state_dict": state, "hello": Evil(mark)} if where == "beside" else state
    if where == "within":
        state["upsample.bias"] = Evil(mark)
    path = save(content, tmp_path / "evil.pt", old)
    out = tmp_path / "out.pt"
    assert main(["convert-waveglow", str(path), str(out)]) == 2
    said = capsys.readouterr().err
    assert "asks for posix.system, which is code and not weights" in said
    assert "nothing of it was run" in said
    assert not mark.exists()
    assert not out.exists()
    assert list(tmp_path.glob(".out*")) == []
    # It is as dangerous as it looks.
    torch.load(path, weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("collections", "OrderedDict.__init__.__globals__"),
        ("torch.serialization", "load"),
        ("torch", "load"),
        ("torchvision.nn", "x"),
        ("training.vocoders.inert", "Storage"),
        ("glowing", "WaveGlow"),
    ],
)
def test_names_that_are_not_on_the_list(tmp_path: Path, module: str, name: str) -> None:
    raw = b"\x80\x04" + b"".join(
        b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name)
    )
    path = zipped(tmp_path, raw + b"\x93.")
    with pytest.raises(CheckpointError, match="which is code and not weights"):
        read_checkpoint(path)


def zipped(folder: Path, pickled: bytes) -> Path:
    path = folder / "made.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    return path


def test_shells_run_nothing_and_hold_what_they_were_given(tmp_path: Path) -> None:
    """A class of torch.nn called with arguments: never the real one."""
    from training.vocoders.inert import InertUnpickler, Shell

    raw = b"\x80\x02ctorch.nn.modules.linear\nLinear\n(K\x03K\x04tR}X\x01\x00\x00\x00aK\x01sb."
    made = InertUnpickler(io.BytesIO(raw), "x").load()
    assert isinstance(made, Shell)
    assert not isinstance(made, torch.nn.Module)
    assert made.state == {"a": 1}


def damaged(raw: bytes) -> list[bytes]:
    return [raw[: len(raw) // 2], raw[:100], b"", b"hello", b"\x80\x02.", raw[:40] + b"\xff" * 300]


@pytest.mark.parametrize("old", [False, True])
def test_damaged_files(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "whole.pt"
    pickled_module(WEIGHTS, path, old)
    for i, raw in enumerate(damaged(path.read_bytes())):
        broken = tmp_path / f"broken{i}.pt"
        broken.write_bytes(raw)
        with pytest.raises(CheckpointError):
            read_checkpoint(broken)


def test_a_tensor_beyond_its_storage(tmp_path: Path) -> None:
    from training.vocoders.inert import Storage, StorageKind, Stored

    storage = Storage(StorageKind("FloatStorage"), 4, lambda: bytes(16))
    assert Stored(storage, 0, (2, 2), (2, 1)).array().shape == (2, 2)
    for offset, size, stride in ((1, (2, 2), (2, 1)), (0, (5,), (1,)), (-1, (2,), (1,))):
        with pytest.raises(CheckpointError, match="beyond its 4 values"):
            Stored(storage, offset, size, stride).array()


def test_another_models_checkpoint_names_what_it_has(tmp_path: Path) -> None:
    other = {f"conv_pre.{k}.weight": torch.zeros(3) for k in range(6)}
    with pytest.raises(CheckpointError, match=r"6 tensors \(conv_pre.0.weight.*WN.0.start.weight"):
        read_checkpoint(save(other, tmp_path / "hifigan.pt", False))


def test_missing_further_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    state = tensors(WEIGHTS)
    del state["WN.2.end.bias"]
    state["extra.weight"] = torch.zeros(2)
    state["WN.1.end.bias"] = torch.zeros(99)
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(save(state, tmp_path / "odd.pt", False))
    said = str(raised.value)
    assert "lacks 1 (WN.2.end.bias)" in said
    assert "has besides 1 (extra.weight)" in said
    assert "WN.1.end.bias (99,) instead of (8,)" in said
    without = {n: t for n, t in tensors(WEIGHTS).items() if n != "upsample.weight"}
    with pytest.raises(CheckpointError, match=r"lacks 'upsample\.weight'"):
        read_checkpoint(save(without, tmp_path / "no.pt", False))


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    state = tensors(WEIGHTS)
    state["upsample.bias"] = state["upsample.bias"].clone()
    state["upsample.bias"][3] = float("nan")
    with pytest.raises(CheckpointError, match=r"upsample\.bias has values that are not finite"):
        read_checkpoint(save(state, tmp_path / "nan.pt", False))


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(CheckpointError, match="TorchScript program"):
        read_checkpoint(path)


def test_the_runtime_takes_converted_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "glow.pt"
    pickled_module(WEIGHTS, path, False)
    with pytest.raises(CheckpointError, match="convert it once: seegvox convert-waveglow"):
        load_waveglow(path)
    with pytest.raises(CheckpointError, match="not a converted WaveGlow"):
        load_waveglow(save(tensors(WEIGHTS), tmp_path / "state.pt", False))
    with pytest.raises(CheckpointError, match="does not exist"):
        load_waveglow(tmp_path / "none.pt")
    found = read_checkpoint(path)
    found.weights.pop("upsample.bias")
    write_waveglow(found, tmp_path / "short.pt")
    with pytest.raises(CheckpointError, match="convert it again"):
        load_waveglow(tmp_path / "short.pt")
