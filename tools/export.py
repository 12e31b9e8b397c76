"""The verb `export`: a trained network becomes a proven, scored bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from models.errors import need


def add_parser(subparsers: Any) -> None:
    """Add the verb `export`."""
    parser = subparsers.add_parser(
        "export",
        help="export, prove and score a trained network as a bundle",
        description="Refuses to write a bundle whose ONNX graphs are not the trained network.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("experiment", type=Path, help="folder that `train` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle, new")
    parser.add_argument(
        "--recording", type=Path, default=None, help="where the recording lies now, if moved"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export; prints the scores and the proof."""
    for module in ("torch", "onnx", "onnxscript", "pynwb"):
        need(module, "train")
    from training.experiment import export
    from training.scores import format_table

    done = export(args.experiment, args.out, args.recording, args.overwrite)
    print(format_table(done.scores))
    proof = done.bundle.spec.proof
    print(
        f"torch and ONNX differ by {proof['torch_vs_onnx_max']:.1e} at most "
        f"over {proof['seconds']:g} s (allowed {proof['tolerance']:g})"
    )
    print(f"{args.out}  sha256 {done.bundle.hash[:16]}")
    return 0
