"""From NVIDIA's checkpoints to a plain file of tensors.

Published files hold the whole network as a pickled module (`{'model': WaveGlow, ...}`), later ones
its state dict (`{'state_dict': ...}` or the dict itself), tensors named alike. Both are read by
`training.vocoders.torch_file`, which runs nothing. Weight norm is removed, and the oldest form,
with residual, skip and condition layers apart, is put together as the later one has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from models.files import sha256
from models.waveglow import Shapes, WaveGlowSpec
from training.vocoders.errors import CheckpointError
from training.vocoders.inert import Shell, Stored
from training.vocoders.torch_file import read_torch_file
from training.vocoders.waveglow_file import WaveGlowFile

Arrays = dict[str, NDArray[np.float32]]

_G, _V = ".weight_g", ".weight_v"
# The same two under torch's later parametrisation.
_G2, _V2 = ".parametrizations.weight.original0", ".parametrizations.weight.original1"
_SHOWN = 4


def read_checkpoint(path: Path) -> WaveGlowFile:
    """The WaveGlow in a checkpoint of either form, weight norm removed.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, holds code, or is not a WaveGlow; names what does not fit.
    """
    stored = dict(_tensors(read_torch_file(path), path))
    if not any(name.startswith("WN.") for name in stored):
        raise CheckpointError(
            f"{path} holds {len(stored)} tensors{_some(sorted(stored))}",
            "those of a WaveGlow, such as upsample.weight and WN.0.start.weight",
            "give NVIDIA's WaveGlow checkpoint, not another model's",
        )
    arrays = {name: _float(name, tensor) for name, tensor in stored.items()}
    weights = _joined(_fused(arrays))
    spec = spec_of({name: array.shape for name, array in weights.items()}, path)
    return WaveGlowFile(spec, weights, {"source": path.name, "source_sha256": sha256(path)})


def _tensors(found: Any, path: Path) -> Iterator[tuple[str, Stored]]:
    """Names and tensors of whatever form."""
    for key in ("model", "state_dict"):
        if isinstance(found, Mapping) and isinstance(found.get(key), (Mapping, Shell)):
            found = found[key]
    if isinstance(found, Shell):
        yield from _within(found, "")
        return
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path} holds a {type(found).__name__}", "a model or a state dict")
    for name, tensor in found.items():
        if isinstance(tensor, Stored):
            yield str(name).removeprefix("module."), tensor


def _within(module: Shell, prefix: str) -> Iterator[tuple[str, Stored]]:
    """Parameters of a module and of those in it, by their dotted names."""
    for name, tensor in _of(module, "_parameters"):
        if isinstance(tensor, Stored):
            yield (prefix + name).removeprefix("module."), tensor
    for name, inner in _of(module, "_modules"):
        if isinstance(inner, Shell):
            yield from _within(inner, f"{prefix}{name}.")


def _of(module: Shell, kind: str) -> list[tuple[str, Any]]:
    found = module.state.get(kind)
    return [(str(k), v) for k, v in found.items()] if isinstance(found, Mapping) else []


def _float(name: str, tensor: Stored) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.array().astype(np.float32)
    if not np.isfinite(array).all():
        raise CheckpointError(f"{name} has values that are not finite", "finite weights")
    return array


# --- weight norm --------------------------------------------------------------------------------


def _fused(arrays: Arrays) -> Arrays:
    """`g * v / |v|`, the norm over all but the first axis (Salimans & Kingma 2016)."""
    made: Arrays = {}
    for name, array in arrays.items():
        base, kind = _norm_of(name)
        if kind == "v":
            gain = arrays.get(base + _G, arrays.get(base + _G2))
            if gain is None or gain.size != len(array):
                raise CheckpointError(f"{base} has no weight_g for its weight_v", "both")
            made[base + ".weight"] = _with_norm(array, gain)
        elif kind != "g":
            made[name] = array
    return made


def _norm_of(name: str) -> tuple[str, str]:
    for kind, suffixes in (("g", (_G, _G2)), ("v", (_V, _V2))):
        for suffix in suffixes:
            if name.endswith(suffix):
                return name.removesuffix(suffix), kind
    return name, ""


def _with_norm(v: NDArray[np.float32], g: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = v.reshape(len(v), -1).astype(np.float64)
    norm = np.sqrt((rows * rows).sum(axis=1))
    scale = g.reshape(-1) / np.where(norm > 0, norm, 1.0)
    made: NDArray[np.float32] = (rows * scale[:, None]).reshape(v.shape).astype(np.float32)
    return made


# --- the oldest form ----------------------------------------------------------------------------


def _joined(weights: Arrays) -> Arrays:
    """Layers that the first published form had apart, put together."""
    made = dict(weights)
    flows = sorted({name.split(".")[1] for name in weights if name.startswith("WN.")})
    for k in flows:
        for kind in ("weight", "bias"):
            _join_condition(made, f"WN.{k}.", kind)
            _join_skips(made, f"WN.{k}.", kind)
    return made


def _join_condition(made: Arrays, at: str, kind: str) -> None:
    parts = _numbered(made, f"{at}cond_layers.", kind)
    if parts:
        made[f"{at}cond_layer.{kind}"] = np.concatenate(list(parts.values()))


def _join_skips(made: Arrays, at: str, kind: str) -> None:
    residuals = _numbered(made, f"{at}res_layers.", kind)
    for i, skip in _numbered(made, f"{at}skip_layers.", kind).items():
        both = [residuals[i], skip] if i in residuals else [skip]
        made[f"{at}res_skip_layers.{i}.{kind}"] = np.concatenate(both)


def _numbered(made: Arrays, at: str, kind: str) -> Arrays:
    """Take out `AT<i>.KIND`, by `i` in order of number."""
    names = [n for n in made if n.startswith(at) and n.endswith("." + kind)]
    found = {n.removeprefix(at).removesuffix("." + kind): made.pop(n) for n in names}
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


# --- which WaveGlow -----------------------------------------------------------------------------


def spec_of(shapes: Mapping[str, tuple[int, ...]], path: Path) -> WaveGlowSpec:
    """The shapes of the WaveGlow that these tensors are.

    Raises
    ------
    CheckpointError
        Naming tensors that lack, that should not be there, and that have another shape.
    """
    try:
        spec = WaveGlowSpec(**_guessed(shapes))
    except (KeyError, IndexError, ValidationError) as err:
        what = f"lacks {err}" if isinstance(err, KeyError) else "has shapes that fit no WaveGlow"
        raise CheckpointError(
            f"{path} {what}; it has{_some(sorted(shapes))}",
            "all tensors of a WaveGlow",
            "give NVIDIA's WaveGlow checkpoint, whole",
        ) from err
    check_shapes(shapes, spec.shapes(), path)
    return spec


def _guessed(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    widths: list[int] = []
    while (name := f"convinv.{len(widths)}.conv.weight") in shapes:
        widths.append(shapes[name][0])
    early = next((k for k, width in enumerate(widths) if width != widths[0]), 0)
    layers = sum(n.startswith("WN.0.in_layers.") and n.endswith(".weight") for n in shapes)
    upsample = shapes["upsample.weight"]
    return {
        "mels": upsample[0],
        "window": upsample[2],
        # Not to be read off a shape; in every published form the window is four hops.
        "hop": upsample[2] // 4,
        "group": shapes["convinv.0.conv.weight"][0],
        "flows": len(widths),
        "early_every": early or max(1, len(widths)),
        "early_size": widths[0] - widths[early] if early else 2,
        "layers": layers,
        "channels": shapes["WN.0.start.weight"][0],
        "kernel": shapes["WN.0.in_layers.0.weight"][2],
    }


def check_shapes(found: Mapping[str, tuple[int, ...]], wanted: Shapes, path: Path) -> None:
    """Refuse tensors that are not exactly those wanted.

    Raises
    ------
    CheckpointError
        Naming some of each kind of difference.
    """
    wrong = [
        f"{name} {tuple(found[name])} instead of {shape}"
        for name, shape in wanted.items()
        if name in found and tuple(found[name]) != shape
    ]
    differences = (
        ("lacks", sorted(set(wanted) - set(found))),
        ("has besides", sorted(set(found) - set(wanted))),
        ("has other shapes:", wrong),
    )
    said = [f"{word} {len(names)}{_some(names)}" for word, names in differences if names]
    if said:
        raise CheckpointError(
            f"{path} {'; '.join(said)}",
            f"the {len(wanted)} tensors of such a WaveGlow",
            "give NVIDIA's WaveGlow checkpoint, whole",
        )


def _some(names: list[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return f" ({', '.join(names[:_SHOWN])}{more})" if names else ""
