"""The verb `study`: networks and baselines over simulated patients, as a table."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from models.errors import need


def add_parser(subparsers: Any) -> None:
    """Add the verb `study`."""
    parser = subparsers.add_parser(
        "study",
        help="train and score networks and baselines over simulated patients",
        description="Minutes per patient and variant; an interrupted study goes on where it was. "
        "Figures on simulated patients test software, and say nothing about patients.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of results, new or begun")
    parser.add_argument("--settings", type=Path, help="TOML of the training; training/settings.py")
    parser.add_argument(
        "--gains", type=float, nargs="+", default=[0.3, 0.5, 1.1], help="poor, mean, good patient"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22], help="of patients")
    parser.add_argument("--minutes", type=float, default=7.0, help="length of a recording")
    parser.add_argument("--session", default="words", help="words, sentences or mixed")
    parser.add_argument("--folds", type=int, default=1, help="1 holds out the last part only")
    parser.add_argument(
        "--variants",
        nargs="+",
        default=["causal"],
        help="causal, offline, 'no attention', 'no pre-net', 'no post-net', 'look-ahead N'",
    )
    parser.add_argument(
        "--baselines",
        nargs="*",
        default=["causal linear", "causal ridge", "linear", "densenet"],
        help="scored beside the first variant; also 'ridge', 'causal densenet'",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run what is missing; prints the tables and writes `table.json` and `differences.json`."""
    for module in ("torch", "lightning", "onnxscript"):
        need(module, "train")
    if any(name.startswith("look-ahead") for name in args.variants):
        need("matplotlib", "report")
    from models.files import new_file
    from models.toml import read_toml, validated
    from tools.study_plot import write_lookahead
    from training.settings import ExperimentSettings
    from training.study import (
        StudySettings,
        differences_of,
        format_rows,
        rows_of,
        run_study,
    )

    chosen = ("gains", "seeds", "minutes", "session", "folds", "variants", "baselines")
    study = validated(StudySettings, {name: getattr(args, name) for name in chosen}, "study")
    raw = read_toml(args.settings) if args.settings else {}
    experiment = validated(ExperimentSettings, raw, str(args.settings or "defaults"))
    cells = run_study(study, experiment, args.out, told=lambda line: print(line, flush=True))
    rows = rows_of(cells)
    differences = differences_of(cells)
    print(format_rows(rows))
    if differences:
        print(format_rows(differences))
    print("mean [95 % interval over patients and folds]; differences are paired")
    for name, found in (("table", rows), ("differences", differences)):
        with new_file(args.out / f"{name}.json", overwrite=True) as partial:
            text = json.dumps([asdict(row) for row in found], indent=1, default=_plain)
            partial.write_text(text)
    if write_lookahead(rows, args.out / "look-ahead.png"):
        print(f"score against look-ahead: {args.out / 'look-ahead.png'}")
    return 0


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
