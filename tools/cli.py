"""The `seegvox` command: plain verbs, each in a module of its own."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Sequence

from models.errors import SeegvoxError

VERBS = (
    "demo",
    "simulate",
    "train",
    "export",
    "evaluate",
    "study",
    "train-vocoder",
    "convert-waveglow",
    "vocode",
    "live",
    "replay",
    "calibrate",
    "session",
    "decode",
    "bench",
    "soak",
    "streams",
    "devices",
    "doctor",
    "inspect",
)


def parser() -> argparse.ArgumentParser:
    """The parser with every verb's own; verbs import what they need when they run."""
    top = argparse.ArgumentParser(
        prog="seegvox",
        description="Real-time speech from stereotactic EEG. Research use only.",
    )
    top.add_argument("--debug", action="store_true", help="show tracebacks (default: one line)")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        module = importlib.import_module(f"tools.{verb.replace('-', '_')}")
        module.add_parser(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; 0 on success, 1 if it found something wrong, 2 on an error, 130 on Ctrl-C."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (SeegvoxError, OSError) as err:
        if args.debug:
            traceback.print_exc()
        print(f"seegvox {args.verb}: {' '.join(str(err).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"seegvox {args.verb}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
