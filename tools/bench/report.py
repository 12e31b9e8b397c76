"""`bench report JSON HTML`: the page of a run that was measured before."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tools.bench.document import read_document


def add_parser(subparsers: Any) -> None:
    """Add `bench report`."""
    parser = subparsers.add_parser(
        "report",
        help="the page of a run from its JSON",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("json", type=Path, help="of a run")
    parser.add_argument("html", type=Path, help="page, new")
    parser.add_argument("--overwrite", action="store_true", help="replace the page")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from tools.bench.page import write_page

    write_page(args.html, read_document(args.json), args.overwrite)
    print(args.html)
    return 0
