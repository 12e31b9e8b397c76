"""The verb `convert-waveglow`: NVIDIA's checkpoint to a plain file of tensors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from models.errors import need
from models.files import refuse_busy


def add_parser(subparsers: Any) -> None:
    """Add the verb `convert-waveglow`."""
    parser = subparsers.add_parser(
        "convert-waveglow",
        help="make NVIDIA's WaveGlow checkpoint a plain file of tensors",
        description="Reads the pickled module or the state dict, imports and runs nothing from "
        "the file, removes weight norm, and writes what `seegvox vocode --with waveglow` loads.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="such as waveglow_256channels.pt")
    parser.add_argument("out", type=Path, help="the converted file, new")
    parser.add_argument("--overwrite", action="store_true", help="replace the converted file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert; prints what it was."""
    need("torch", "train")
    from training.vocoders.waveglow_convert import read_checkpoint
    from training.vocoders.waveglow_file import load_waveglow, write_waveglow

    refuse_busy(args.out, args.overwrite)
    found = read_checkpoint(args.checkpoint)
    digest = write_waveglow(found, args.out, args.overwrite)
    # It must load as it will be loaded.
    spec = load_waveglow(args.out).spec
    print(
        f"WaveGlow: {spec.flows} flows, {spec.channels} channels, {spec.mels} mel bands, "
        f"{len(found.weights)} tensors, {found.parameters / 1e6:.1f} million parameters"
    )
    print(f"from {args.checkpoint.name}  sha256 {found.about['source_sha256'][:16]}")
    print(f"{args.out}  sha256 {digest[:16]}")
    return 0
