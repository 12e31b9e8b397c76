"""The verb `train`: fit the causal network to a recording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from models.errors import need


def add_parser(subparsers: Any) -> None:
    """Add the verb `train`."""
    parser = subparsers.add_parser(
        "train",
        help="fit the causal network to a recording",
        description="Fit the causal network to a recording; leaves a folder for `export`.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("recording", type=Path, help="NWB file or BIDS folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the experiment, new")
    parser.add_argument("--settings", type=Path, help="TOML; see training/settings.py for its keys")
    parser.add_argument("--seed", type=int, default=argparse.SUPPRESS, help="seed (default: 0)")
    parser.add_argument(
        "--max-minutes",
        type=float,
        default=argparse.SUPPRESS,
        help="stop training after this long (default: 30)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; prints where and what is next."""
    for module in ("torch", "lightning", "pynwb"):
        need(module, "train")
    from training.experiment import train

    trained = train(args.recording, _settings(args), args.out, overwrite=args.overwrite)
    told = trained.spec.provenance
    steps = ", ".join(f"{phase} {count}" for phase, count in told["steps"].items())
    early = " (stopped by --max-minutes)" if told["stopped_by_time"] else ""
    print(f"{told['training_minutes']} minutes of speech; steps: {steps}{early} -> {args.out}")
    print(f"next: seegvox export {args.out} --out BUNDLE")
    return 0


def _settings(args: argparse.Namespace) -> Any:
    from models.toml import read_toml, validated
    from training.settings import ExperimentSettings

    raw = read_toml(args.settings) if args.settings else {}
    given = vars(args)
    if "seed" in given:
        raw["seed"] = given["seed"]
    if "max_minutes" in given:
        table = raw.get("optimiser", {})
        if isinstance(table, dict):
            raw["optimiser"] = {**table, "max_minutes": given["max_minutes"]}
    return validated(ExperimentSettings, raw, str(args.settings or "the command line"))
