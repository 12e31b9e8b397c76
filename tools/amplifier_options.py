"""What the simulated amplifier can be told; here, so that a parser can be built without liblsl."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "seegvox-amplifier"
FORMATS = ("float32", "float64", "int16", "int32")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the amplifier's arguments to a parser."""
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument("path", type=Path, help=".npy with a .json beside it, or a recording")
    parser.add_argument("--burst", type=int, default=16, help="samples per packet")
    parser.add_argument("--name", default=NAME, help="name of the stream")
    parser.add_argument("--source-id", default=NAME, help="source id of the stream")
    parser.add_argument("--start-s", type=float, default=0.0, help="where to start, seconds")
    parser.add_argument("--stop-s", type=float, default=None, help="where to stop, seconds")
    parser.add_argument("--unit", default="microvolts", help="unit that samples are sent in")
    parser.add_argument("--dtype", choices=FORMATS, default="float32", help="sample format")
    parser.add_argument("--loop", action="store_true", help="start over at the end")
    parser.add_argument("--wait", action="store_true", help="start when somebody listens")
    parser.add_argument(
        "--linger-s", type=float, default=0.5, help="seconds the stream outlives its last sample"
    )
    parser.add_argument(
        "--inject", type=Path, default=None, help="TOML of faults; tools/faults/plan.py lists them"
    )
    parser.add_argument(
        "--injected", type=Path, default=None, help="new file: what was injected, and when"
    )
