"""`bench compare A B`: which figures of B are better, worse, or within noise of A's.

A permutation test on blocks of rounds, corrected over all figures: two runs of the same thing are
called different in 5 % of comparisons at most (tools/bench/noise.py says how). Compute is also
tested against the yardstick of the same rounds, so that a slower moment of the machine is not taken
for slower code. Exit 1 if something is worse.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.errors import SettingsError
from models.files import new_file, refuse_busy
from tools.bench.document import Document, read_document, rounds_ms
from tools.bench.noise import ALPHA, LEAST, WORSE, Difference, Side, difference, judge

PERCENTILES = (50.0, 99.0, 99.9)
JUDGED = ("compute", "transport", "buffer", "total", "algorithmic")
# A figure's yardstick: of its own pace, the one whose turns are as many.
YARDSTICK = "floor"


def add_parser(subparsers: Any) -> None:
    """Add `bench compare`."""
    parser = subparsers.add_parser(
        "compare",
        help="better, worse or within noise, figure by figure",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("a", type=Path, help="JSON of a run, the one before")
    parser.add_argument("b", type=Path, help="JSON of a run, the one after")
    parser.add_argument("--alpha", type=float, default=ALPHA, help="false alarms, of comparisons")
    parser.add_argument("--least", type=float, default=LEAST, help="least difference that counts")
    parser.add_argument("--seed", type=int, default=0, help="of the deals")
    parser.add_argument("--json", type=Path, default=None, help="write the differences here")
    parser.add_argument("--overwrite", action="store_true", help="replace the JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare; prints a table. 1 if something is worse."""
    if args.json:
        refuse_busy(args.json, args.overwrite)
    a, b = read_document(args.a), read_document(args.b)
    found = compare(a, b, args.alpha, args.least, args.seed)
    print("\n".join([*_unlike(a, b), *_table(found), _how(args)]))
    if args.json:
        with new_file(args.json, args.overwrite) as partial:
            partial.write_text(json.dumps([asdict(d) for d in found], indent=1))
    return int(any(d.verdict == WORSE for d in found))


def compare(
    a: Document, b: Document, alpha: float = ALPHA, least: float = LEAST, seed: int = 0
) -> list[Difference]:
    """The differences of all figures that both have, with verdicts.

    Raises
    ------
    SettingsError
        If they are of two kinds, or share no figure.
    """
    if a["kind"] != b["kind"]:
        raise SettingsError(
            f"`bench {a['kind']}` against `bench {b['kind']}`", "two runs of the same verb"
        )
    shared = [name for name, figure in a["figures"].items() if _both(name, figure, b)]
    if not shared:
        raise SettingsError("no figure is in both runs", "two runs with the same options")
    found = [
        difference(name, percentile, _side(a, name), _side(b, name), seed)
        for name in shared
        for percentile in PERCENTILES
    ]
    return judge(found, alpha, least)


def _both(name: str, figure: Mapping[str, Any], b: Document) -> bool:
    other = b["figures"].get(name)
    return bool(other and figure["part"] in JUDGED and figure["count"] and other["count"])


def _side(found: Document, name: str) -> Side:
    figure = found["figures"][name]
    stick = found["figures"].get(f"{name.partition('.')[0]}.{YARDSTICK}")
    own = figure["part"] == "compute" and stick is not None
    return Side(rounds_ms(figure), rounds_ms(stick) if own and stick else None)


# --- in words -------------------------------------------------------------------------------------


def _unlike(a: Document, b: Document) -> Iterator[str]:
    """What else differs between the runs."""
    for key in ("cpu", "cores", "kernel", "governor", "priority", "commit"):
        one, other = a["environment"].get(key), b["environment"].get(key)
        if one != other:
            yield f"{key}: {one} -> {other}"
    one, other = (found["bundle"] and found["bundle"]["sha256"][:12] for found in (a, b))
    if one != other:
        yield f"bundle: {one} -> {other}"
    if a["asked"] != b["asked"]:
        keys = {*a["asked"], *b["asked"]}
        odd = sorted(k for k in keys if a["asked"].get(k) != b["asked"].get(k))
        yield f"asked for otherwise: {', '.join(odd)}"


def _table(found: Sequence[Difference]) -> list[str]:
    wide = max(len(d.figure) for d in found) + 1
    head = f"{'ms':<{wide}}{'':>7}{'A':>10}{'B':>10}{'change':>9}   95 % interval  verdict"
    return [head, *(_row(d, wide) for d in found)]


def _row(d: Difference, wide: int) -> str:
    change = f"{100 * d.change:+8.1f}%  {100 * d.low:+6.1f} ..{100 * d.high:+6.1f}"
    if d.why:
        change = f"{'':9}  {'':16}"
    verdict = f"{d.verdict} ({d.why})" if d.why else d.verdict
    return f"{d.figure:<{wide}}{f'p{d.percentile:g}':>7}{d.a:10.3f}{d.b:10.3f}{change}  {verdict}"


def _how(args: argparse.Namespace) -> str:
    return (
        f"Permutation test on blocks of rounds, Holm's correction over all figures: of comparisons "
        f"of a thing with itself {100 * args.alpha:g} % find a difference at most; differences "
        f"below {100 * args.least:g} % do not count."
    )
