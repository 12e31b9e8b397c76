"""What the replay can be told; here, so that a parser can be built without liblsl."""

from __future__ import annotations

import argparse
from pathlib import Path

_NUMBERS = (
    ("--start", 0.0, "S", "seconds from the first sEEG sample (default: 0, the beginning)"),
    ("--stop", None, "S", "likewise (default: the end)"),
    ("--speed", 1.0, "N", "times faster; nominal rates are, too (default: 1)"),
)
_SWITCHES = (
    ("--loop", "begin again at the end (default: end there)"),
    ("--regular", "put timestamps on a steady grid; gaps stay (default: as recorded)"),
    ("--json", "print the summary as JSON (default: as text)"),
)
_UNIT = (
    "what the sEEG is in, instead of what the file says; 'recorded' sends a unit that nobody knows "
    "as it is (default: the file's, which must be a unit of voltage)"
)
_BURST = (
    "samples in a packet of sEEG; other steady streams get packets that last as long (default: "
    "1/64 s, 16 at 1024 Hz; of a session, the packets that came)"
)
_INJECT = (
    "faults to put in, told on the marker stream NAME-faults; their times count from the first "
    "sample that is played; tools/faults/plan.py lists them (default: none)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `replay`."""
    add = parser.add_argument
    kinds = "XDF, NWB, what MNE reads, TRC, a BIDS folder, or the folder of a session"
    add("file", type=Path, help=kinds)
    names = "their names, source ids or types (default: all)"
    add("--streams", nargs="+", metavar="NAME", default=[], help=names)
    for name, default, unit, said in _NUMBERS:
        add(name, type=float, default=default, metavar=unit, help=said)
    for name, said in _SWITCHES:
        add(name, action="store_true", help=said)
    add("--burst", type=int, default=None, metavar="N", help=_BURST)
    add("--unit", default=None, metavar="UNIT", help=_UNIT)
    add("--inject", type=Path, default=None, metavar="TOML", help=_INJECT)
    into = "stream to put them into (default: the sEEG)"
    add("--inject-into", default=None, metavar="NAME", help=into)
    wait = "begin when somebody listens to any stream, or to all (default: at once)"
    add("--wait", nargs="?", const="any", choices=("any", "all"), default=None, help=wait)
