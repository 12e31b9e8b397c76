"""The folder of a neural vocoder: data only, like a bundle, and beside one or inside it.

spec.json            what it is
vocoder_step.onnx    one mel frame and its first spectrum -> one spectrum, with explicit states
golden.npz           a few seconds of mel frames and the sound that must come of them
SHA256SUMS           of every file above; its own SHA-256 is the vocoder's hash
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from models.errors import BundleError
from models.files import new_folder, sha256
from models.spec import MelSpec, Model
from models.streaming import Floats

SPEC, GRAPH, GOLDEN, SUMS = "spec.json", "vocoder_step.onnx", "golden.npz", "SHA256SUMS"
FILES = (SPEC, GRAPH, GOLDEN)
SCHEMA_VERSION = 1
INSIDE = "vocoder"
"""Name of the folder inside a bundle; beside one it is called `BUNDLE.vocoder`."""


Facts = dict[str, Any]


class VocoderNetSpec(Model):
    """Shapes of the network: a causal ConvNeXt trunk (Siuzdak 2023, Vocos; Liu et al. 2022)."""

    size: int = Field(192, ge=8, description="channels of the trunk")
    hidden: int = Field(576, ge=8, description="channels inside a block")
    layers: int = Field(6, ge=1)
    kernel: int = Field(7, ge=2, description="hops that a convolution sees, the newest included")


class VocoderSpec(Model):
    """`spec.json` of a vocoder."""

    schema_version: Literal[1] = 1
    kind: Literal["neural vocoder"] = "neural vocoder"
    name: str
    mel: MelSpec = MelSpec()
    rate_hz: Literal[16000] = 16000
    hop: Literal[240] = 240
    fft: Literal[720] = 720
    network: VocoderNetSpec = VocoderNetSpec()
    weights: Literal["float32", "int8"] = "float32"
    provenance: Facts = Field(default_factory=dict)
    scores: Facts = Field(default_factory=dict)
    proof: Facts = Field(default_factory=dict)


@dataclass(frozen=True)
class VocoderFolder:
    """A vocoder whose files are what they were when it was written."""

    path: Path
    spec: VocoderSpec
    hash: str

    @property
    def graph(self) -> Path:
        """The step graph."""
        return self.path / GRAPH

    def golden(self) -> tuple[Floats, Floats]:
        """Mel frames `(hops, 80)` and the sound `(n,)` at 16 kHz that must come of them."""
        with np.load(self.path / GOLDEN, allow_pickle=False) as file:
            return file["mel"], file["audio"]


def write_vocoder(
    path: Path,
    spec: VocoderSpec,
    graph: Path,
    golden: tuple[Floats, Floats],
    overwrite: bool = False,
) -> VocoderFolder:
    """Write a vocoder, whole or not at all.

    Raises
    ------
    BusyOutputError
        If `path` exists and `overwrite` is not set.
    """
    with new_folder(path, overwrite) as folder:
        (folder / SPEC).write_text(spec.model_dump_json(indent=2) + "\n")
        shutil.copyfile(graph, folder / GRAPH)
        np.savez_compressed(folder / GOLDEN, mel=golden[0], audio=golden[1])
        sums = "".join(f"{sha256(folder / name)}  {name}\n" for name in FILES)
        (folder / SUMS).write_text(sums)
    return load_vocoder(path)


def load_vocoder(path: Path) -> VocoderFolder:
    """Read a vocoder, verifying every hash, then the spec.

    Raises
    ------
    BundleError
        If anything is missing, altered, of another schema or for other mel frames.
    """
    if not (path / SUMS).is_file() or (path / "encoder_step.onnx").exists():
        raise BundleError(
            f"{path} is no neural vocoder",
            f"a folder of {', '.join((*FILES, SUMS))}",
            "give the folder that `seegvox train-vocoder` wrote",
        )
    _verify(path)
    try:
        spec = VocoderSpec.model_validate(json.loads((path / SPEC).read_text(encoding="utf-8")))
    except ValueError as err:
        raise BundleError(
            f"{path / SPEC}: {_first(err)}",
            f"a spec of schema version {SCHEMA_VERSION}",
            "update seegvox, or train and export the vocoder with this version",
        ) from err
    return VocoderFolder(path, spec, sha256(path / SUMS))


def _first(err: ValueError) -> str:
    """What is wrong, with the place if there is one."""
    if not isinstance(err, ValidationError):
        return str(err)
    found = err.errors()[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"


def _verify(path: Path) -> None:
    lines = (path / SUMS).read_bytes().decode("ascii", "replace").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if set(listed) != set(FILES):
        raise BundleError(
            f"{path / SUMS} lists {sorted(listed)}",
            f"exactly {sorted(FILES)}",
            "the file is damaged: copy the vocoder again",
        )
    for name, digest in listed.items():
        found = sha256(path / name) if (path / name).is_file() else "no file"
        if found != digest:
            raise BundleError(
                f"{path / name} has SHA-256 {found[:16]}",
                f"{digest[:16]} as {SUMS} says",
                "the vocoder is damaged or was edited: copy or export it again",
            )


def vocoder_beside(bundle: Path) -> Path:
    """The vocoder that is carried in a bundle, or beside it.

    Raises
    ------
    BundleError
        If there is none.
    """
    places = (bundle / INSIDE, bundle.with_name(f"{bundle.name}.{INSIDE}"))
    for place in places:
        if (place / SUMS).is_file():
            return place
    raise BundleError(
        f"{bundle} carries no neural vocoder",
        f"one in {places[0]} or {places[1]}",
        "copy a vocoder's folder there, or name its folder instead of 'neural'",
    )
