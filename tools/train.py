"""The verb `train`: fit the network to a recording, or to several patients' together."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from models.errors import SettingsError, need


def add_parser(subparsers: Any) -> None:
    """Add the verb `train`."""
    parser = subparsers.add_parser(
        "train",
        help="fit the network to a recording",
        description="Fit the network to a recording; leaves a folder for `export`. Several "
        "recordings, of one patient each, are trained together, with an input convolution each "
        "and all else in common; the folder then holds an experiment per patient.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "recording",
        type=Path,
        nargs="*",
        default=argparse.SUPPRESS,
        help="recording files or BIDS folders; with --resume where they lie now, if moved",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--out", type=Path, default=argparse.SUPPRESS, help="folder of the experiment, new"
    )
    where.add_argument(
        "--resume",
        type=Path,
        metavar="FOLDER",
        default=argparse.SUPPRESS,
        help="go on with the interrupted training of FOLDER, to the result it would have had",
    )
    parser.add_argument("--settings", type=Path, help="TOML; see training/settings.py for its keys")
    parser.add_argument("--seed", type=int, default=argparse.SUPPRESS, help="seed (default: 0)")
    parser.add_argument(
        "--max-minutes",
        type=float,
        default=argparse.SUPPRESS,
        help="stop training after this long (default: 30)",
    )
    parser.add_argument(
        "--from",
        dest="start_from",
        type=Path,
        metavar="EXPERIMENT",
        default=argparse.SUPPRESS,
        help="start from the network of EXPERIMENT, but for its input convolution",
    )
    parser.add_argument(
        "--freeze-shared",
        action="store_true",
        help="with --from: train the new input convolution alone",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; prints where and what is next, for each patient."""
    for module in ("torch", "lightning"):
        need(module, "train")
    from training.workspace import first_process

    folder: Path = args.resume if "resume" in args else args.out
    args.recording = getattr(args, "recording", [])
    try:
        trained = _resumed(args) if "resume" in args else _trained(args)
    except KeyboardInterrupt:
        print(f"go on with: seegvox train --resume {folder}", file=sys.stderr)
        raise
    if first_process():
        for name, one in trained.items():
            _tell(one.spec.provenance, folder / name)
    return 0


def _trained(args: argparse.Namespace) -> dict[str, Any]:
    """What was trained, by its folder below that of the experiment."""
    from training.experiment import train
    from training.joint.experiment import train_joint

    if not args.recording:
        raise SettingsError("no recording was given", "a recording to train on", "name one")
    settings = _settings(args)
    if len(args.recording) > 1:
        return dict(train_joint(args.recording, settings, args.out, overwrite=args.overwrite))
    return {"": train(args.recording[0], settings, args.out, overwrite=args.overwrite)}


def _resumed(args: argparse.Namespace) -> dict[str, Any]:
    from training.experiment import resume
    from training.joint.experiment import interrupted, resume_joint

    other = [name for name in ("seed", "max_minutes", "start_from") if name in args]
    if args.settings or args.overwrite or args.freeze_shared or other:
        raise SettingsError(
            "--resume together with other settings",
            "--resume alone: a training goes on with the settings it began with",
            "leave them out",
        )
    if interrupted(args.resume):
        return dict(resume_joint(args.resume, args.recording))
    if len(args.recording) > 1:
        raise SettingsError(
            f"{len(args.recording)} recordings for a training of one",
            "the one that it began with",
            "name that, or none if it was not moved",
        )
    return {"": resume(args.resume, *args.recording)}


def _tell(told: dict[str, Any], folder: Path) -> None:
    steps = ", ".join(f"{phase} {count}" for phase, count in told["steps"].items())
    early = " (stopped by --max-minutes)" if told["stopped_by_time"] else ""
    print(f"{told['training_minutes']} minutes of speech; steps: {steps}{early} -> {folder}")
    print(f"next: seegvox export {folder} --out BUNDLE")


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
    _start(args, raw)
    return validated(ExperimentSettings, raw, str(args.settings or "the command line"))


def _start(args: argparse.Namespace, raw: dict[str, Any]) -> None:
    """What --from and --freeze-shared say; the network is that of the experiment if not told."""
    table = raw.get("joint", {})
    if not isinstance(table, dict):
        return
    if "start_from" in args:
        table = {**table, "start_from": str(args.start_from.resolve())}
    if args.freeze_shared:
        table = {**table, "freeze_shared": True}
    if table:
        raw["joint"] = table
    if "start_from" in args and args.start_from.is_dir():
        for key, value in _network_of(args.start_from).items():
            raw.setdefault(key, value)


def _network_of(experiment: Path) -> dict[str, Any]:
    """An experiment's settings of the network, if it can be read; training says if it cannot."""
    import json

    try:
        settings = json.loads((experiment / "experiment.json").read_text())["settings"]
        return {key: settings[key] for key in ("network", "target_lookahead")}
    except (OSError, ValueError, KeyError):
        return {}
