"""The bundle: the deployable model folder. Data only; no code in it, no pickle.

spec.json            what it is (models/spec.py)
encoder_step.onnx    `stride` samples -> one encoder frame
decoder_step.onnx    memory -> one mel frame
*_step.int8.onnx     the same with int8 weights, where they decode as well (spec.weights)
arrays.npz           filter sections, feature statistics, mel matrix
golden.npz           a few seconds of input and what every stage must make of it
SHA256SUMS           of every file above; its own SHA-256 is the bundle's hash
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from models import mel
from models.errors import BundleError
from models.files import new_folder, sha256
from models.frontend import FrontEnd, Statistics
from models.spec import SCHEMA_VERSION, BundleSpec, Weights

SPEC, ARRAYS, GOLDEN, SUMS = "spec.json", "arrays.npz", "golden.npz", "SHA256SUMS"
ENCODER, DECODER = "encoder_step.onnx", "decoder_step.onnx"
FILES = (SPEC, ENCODER, DECODER, ARRAYS, GOLDEN)
"""What every bundle has."""
GRAPHS: dict[Weights, tuple[str, str]] = {
    "float32": (ENCODER, DECODER),
    "int8": ("encoder_step.int8.onnx", "decoder_step.int8.onnx"),
}
"""Encoder and decoder, by the precision of their weights."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are what they were when it was written."""

    path: Path
    spec: BundleSpec
    hash: str

    @cached_property
    def arrays(self) -> Arrays:
        """Filter sections, statistics, mel matrix."""
        return _load_npz(self.path / ARRAYS)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that the sums cover."""
        return _files([kind for kind in GRAPHS if self.has(kind)])

    def has(self, weights: Weights) -> bool:
        """Whether there are graphs of that precision."""
        return all((self.path / name).is_file() for name in GRAPHS[weights])

    def graph_files(self) -> list[Path]:
        """All graphs, those of the preferred precision first."""
        kinds = sorted(filter(self.has, GRAPHS), key=lambda kind: kind != self.spec.weights)
        return [self.path / name for kind in kinds for name in GRAPHS[kind]]

    def graphs(self, weights: Weights | None = None) -> tuple[Path, Path]:
        """Files of encoder and decoder; those that the bundle prefers unless others are asked for.

        Raises
        ------
        BundleError
            If it has none of that precision.
        """
        encoder, decoder = (self.path / name for name in GRAPHS[weights or self.spec.weights])
        if not self.has(weights or self.spec.weights):
            raise BundleError(
                f"{self.path} has no graphs with {weights} weights",
                f"{self.spec.weights}, which it was exported with",
                "leave `weights` out; `seegvox export` says why a bundle has no others",
            )
        return encoder, decoder

    def golden(self) -> Arrays:
        """Input and expected output of every stage."""
        return _load_npz(self.path / GOLDEN)

    @property
    def statistics(self) -> Statistics:
        """Of the training data, per feature channel."""
        return Statistics(self.arrays["mean"], self.arrays["std"])

    def front_end(self, statistics: Statistics | None = None) -> FrontEnd:
        """A fresh front end with this bundle's filters; its own statistics unless others are given.

        Raises
        ------
        BundleError
            If the statistics given are of another number of channels.
        """
        own = self.statistics
        given = own if statistics is None else statistics
        if given.mean.shape != own.mean.shape or given.std.shape != own.std.shape:
            raise BundleError(
                f"statistics of {given.mean.shape} and {given.std.shape} channels",
                f"{own.mean.shape}, as {self.path} has",
                "give a calibration of this bundle",
            )
        return self._front_end(given)

    def unscaled_front_end(self) -> FrontEnd:
        """A fresh front end whose features are left before the z-score."""
        return self._front_end(None)

    def _front_end(self, statistics: Statistics | None) -> FrontEnd:
        spec = self.spec
        sections = [self.arrays[f"sections.{i}"] for i in range(len(spec.front_end.bands))]
        return FrontEnd(spec.front_end, spec.contacts, spec.fs_hz, statistics, sections)


def front_end_arrays(front_end: FrontEnd, statistics: Statistics) -> Arrays:
    """The content of `arrays.npz`."""
    sections = {f"sections.{i}": s for i, s in enumerate(front_end.sections)}
    return {
        **sections,
        "mean": statistics.mean,
        "std": statistics.std,
        "mel_basis": np.array(mel.vocoder_basis()),
    }


def write_bundle(
    path: Path,
    spec: BundleSpec,
    graphs: Mapping[Weights, tuple[Path, Path]],
    arrays: Arrays,
    golden: Arrays,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle, whole or not at all.

    Parameters
    ----------
    graphs : encoder and decoder by the precision of their weights; float32 always, and those that
        `spec.weights` names.

    Raises
    ------
    BusyOutputError
        If `path` exists and `overwrite` is not set.
    """
    with new_folder(path, overwrite) as folder:
        (folder / SPEC).write_text(spec.model_dump_json(indent=2) + "\n")
        for weights, (encoder, decoder) in graphs.items():
            for source, name in zip((encoder, decoder), GRAPHS[weights], strict=True):
                shutil.copyfile(source, folder / name)
        np.savez(folder / ARRAYS, **arrays)  # type: ignore[arg-type]
        np.savez_compressed(folder / GOLDEN, **golden)  # type: ignore[arg-type]
        sums = "".join(f"{sha256(folder / name)}  {name}\n" for name in _files(graphs))
        (folder / SUMS).write_text(sums)
    return load_bundle(path)


def load_bundle(path: Path) -> Bundle:
    """Read a bundle, verifying its schema version, every hash, then the spec.

    Raises
    ------
    BundleError
        If anything is missing, altered, of a newer schema or inconsistent.
    """
    if not (path / SUMS).is_file():
        raise BundleError(
            f"{path} holds no {SUMS}", "a bundle folder", "give the folder that export wrote"
        )
    _verify(path)
    spec = _read_spec(path / SPEC)
    bundle = Bundle(path, spec, sha256(path / SUMS))
    bundle.graphs()
    if not np.allclose(bundle.arrays["mel_basis"], mel.vocoder_basis(), rtol=0, atol=1e-9):
        raise BundleError(
            f"{path}: its mel matrix is not this version's",
            "the same mel definition",
            "export the bundle again with this version",
        )
    return bundle


def _files(weights: Iterable[Weights]) -> tuple[str, ...]:
    more = (name for kind in weights if kind != "float32" for name in GRAPHS[kind])
    return (*FILES, *more)


def _verify(path: Path) -> None:
    lines = (path / SUMS).read_bytes().decode("ascii", "replace").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    _refuse_other_schema(path / SPEC, listed.get(SPEC, ""))
    if set(listed) not in (set(FILES), set(_files(GRAPHS))):
        raise BundleError(
            f"{path / SUMS} lists {sorted(listed)}",
            f"exactly {sorted(FILES)}, or {sorted(GRAPHS['int8'])} as well",
            "the file is damaged: copy the bundle again",
        )
    for name, digest in listed.items():
        found = sha256(path / name) if (path / name).is_file() else "no file"
        if found != digest:
            raise BundleError(
                f"{path / name} has SHA-256 {found[:16]}",
                f"{digest[:16]} as {SUMS} says",
                "the bundle is damaged or was edited: copy or export it again",
            )


def _refuse_other_schema(path: Path, digest: str) -> None:
    """Refuse another schema before its other files look like damage.

    Silent where spec.json is itself missing or altered: `_verify` says that.
    """
    if not path.is_file() or sha256(path) != digest:
        return
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise BundleError(f"{path} is no JSON", "a spec", "export the bundle again") from err
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {version}",
            f"{SCHEMA_VERSION}",
            "update seegvox, or export the bundle with this version",
        )


def _read_spec(path: Path) -> BundleSpec:
    try:
        return BundleSpec.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as err:
        first = err.errors()[0]
        raise BundleError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            "a spec that this version wrote",
            "export the bundle again",
        ) from err


def _load_npz(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
