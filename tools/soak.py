"""The verb `soak`: does it hold for hours; does anything grow; what do busy cores do to it.

On a virtual clock (`--hours`) the session's core, the pipeline and playout's engine run as fast as
the machine goes, with an amplifier that loses, repeats and garbles samples. For real (`--real`)
the whole service runs at its pace, with LSL from another process, record and player.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Bundle, load_bundle
from models.errors import MontageError, SettingsError
from models.files import new_file, refuse_busy
from models.streaming import Floats

NOISE_S, NOISE_UV = 60, 30.0


def add_parser(subparsers: Any) -> None:
    """Add the verb `soak`."""
    parser = subparsers.add_parser(
        "soak",
        help="run for hours on a virtual clock, or for minutes for real, and see what grows",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="bundle folder")
    parser.add_argument("--hours", type=float, default=8.0, help="of stream, on a virtual clock")
    parser.add_argument(
        "--wall-minutes", type=float, default=None, help="end the virtual run after so long"
    )
    parser.add_argument(
        "--real", type=float, default=None, metavar="MINUTES", help="for real instead, so long"
    )
    parser.add_argument(
        "--recording", type=Path, default=None, help="what to stream, in a loop; none: noise"
    )
    parser.add_argument("--device", default=None, help="--real: sound device; none: a null sink")
    parser.add_argument("--hogs", type=int, default=0, help="--real: busy processes for each core")
    parser.add_argument("--hog-seconds", type=float, default=60.0, help="--real: for so long")
    parser.add_argument("--keep", type=Path, default=None, help="--real: keep the record here")
    parser.add_argument("--json", type=Path, default=None, help="write the figures here")
    parser.add_argument("--overwrite", action="store_true", help="replace the JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Soak; prints the figures as JSON."""
    if args.hours <= 0 or (args.real is not None and args.real <= 0):
        raise SettingsError("no time to run", "--hours or --real above 0", "give it some time")
    if args.json:
        refuse_busy(args.json, args.overwrite)
    bundle = load_bundle(args.bundle)
    seeg = _seeg(args.recording, bundle)
    figures = _real(args, bundle, seeg) if args.real else _virtual(args, bundle, seeg)
    text = json.dumps({**_about(bundle), **figures}, indent=2, default=str)
    print(text)
    if args.json:
        with new_file(args.json, args.overwrite) as partial:
            partial.write_text(text)
    return 0


def _about(bundle: Bundle) -> dict[str, Any]:
    from realtime.environment import environment

    return {
        "bundle": {"path": str(bundle.path), "sha256": bundle.hash},
        "environment": environment(),
    }


def _seeg(path: Path | None, bundle: Bundle) -> Floats:
    """What is streamed, `(samples, contacts)` in montage order."""
    contacts = bundle.spec.contacts
    if path is None:
        shape = (int(NOISE_S * bundle.spec.fs_hz), len(contacts))
        return np.random.default_rng(0).normal(0, NOISE_UV, shape).astype(np.float32)
    from models.montage import match_labels
    from tools.amplifier import load

    source = load(path)
    if source.fs != bundle.spec.fs_hz:
        raise MontageError(
            f"{path} has {float(source.fs):g} Hz", f"{float(bundle.spec.fs_hz):g} Hz"
        )
    columns = match_labels(contacts, source.labels).columns
    return np.ascontiguousarray(source.seeg[:, list(columns)], np.float32)


def _virtual(args: argparse.Namespace, bundle: Bundle, seeg: Floats) -> dict[str, Any]:
    from tools.soak_virtual import VirtualSoak

    wall_s = float("inf") if args.wall_minutes is None else 60 * args.wall_minutes
    return VirtualSoak(bundle, seeg, progress=_say_figures).run(3600 * args.hours, wall_s)


def _real(args: argparse.Namespace, bundle: Bundle, seeg: Floats) -> dict[str, Any]:
    from tools.soak_real import HogPlan, soak

    playout = {"sink": "null"} if args.device is None else {"device": args.device}
    plan = HogPlan(args.hogs, seconds=args.hog_seconds)
    if args.keep is not None:
        refuse_busy(args.keep)
        args.keep.mkdir(parents=True, exist_ok=True)
        return soak(bundle, seeg, args.real, args.keep, playout, plan, _say)
    with tempfile.TemporaryDirectory(prefix="seegvox-soak-") as scratch:
        return soak(bundle, seeg, args.real, Path(scratch), playout, plan, _say)


def _say_figures(figures: dict[str, float]) -> None:
    _say(json.dumps(figures))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
