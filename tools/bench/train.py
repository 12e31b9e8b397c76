"""`bench train`: what training costs, beside a plain loop of the same network.

The measurements of `training.yardsticks_training`, which says what they are, with the machine
beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from models.errors import SettingsError, need
from tools.bench.document import document
from tools.bench.machine import watched
from tools.bench.output import add_output, asked, deliver, refuse_taken, say

WHAT = ("step", "epoch", "features")
CASES = {"causal": True, "published": False}
FEEDING = {"teacher-forced": 1.0, "free-running": 0.0}


def add_parser(subparsers: Any) -> None:
    """Add `bench train`."""
    parser = subparsers.add_parser(
        "train", help="a training step, an epoch, features", description=__doc__
    )
    parser.add_argument("what", nargs="*", help="step, epoch, features; none: all of them")
    parser.add_argument("--rounds", type=int, default=9, help="of the step")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; prints what was found."""
    what = args.what or list(WHAT)
    if unknown := set(what) - set(WHAT):
        raise SettingsError(f"nothing is called {', '.join(unknown)}", f"some of {', '.join(WHAT)}")
    need("torch", "train")
    refuse_taken(args)
    results: dict[str, dict[str, Any]] = {}
    with watched() as machine:
        for title, found in _measured(what, args):
            results[title] = found
            say(f"{title}: done")
    told = document("train", asked(args), {}, machine)
    told["results"] = results
    told["notes"] = [
        f"{title}: {', '.join(f'{name} {value}' for name, value in found.items())}"
        for title, found in results.items()
    ]
    deliver(told, args)
    return 0


def _measured(what: list[str], args: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    from training.yardsticks_training import measure_epoch, measure_features

    if "step" in what:
        yield from _steps(args)
    if "epoch" in what:
        yield "epoch", measure_epoch(threads=args.threads)
    if "features" in what:
        yield "features", measure_features()


def _steps(args: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    import torch

    from models.spec import NetworkSpec
    from training.yardsticks_training import measure_training_speed

    for name, causal in CASES.items():
        for feeding, ratio in FEEDING.items():
            torch.manual_seed(args.seed)
            spec = NetworkSpec(causal=causal)
            yield (
                f"step, {name}, {feeding}",
                measure_training_speed(
                    spec, rounds=args.rounds, threads=args.threads, teacher_ratio=ratio
                ),
            )
