"""The verb `bench`: what a decoder costs and how late its sound is, with everything kept.

    step        the network alone, beside its yardsticks
    hop         the whole hop in this process, stage by stage
    live        outlet to captured sound: the true end to end
    transport   from an outlet in another process to us
    scale       cost against contacts, rate, hidden size and hop
    vocoder     what a frame costs each vocoder
    soak        for hours: memory, handles, hop time
    train       a training step, an epoch, features
    compare     two runs: better, worse or within noise, figure by figure
    report      the page of a run from its JSON

Contestants take turns in rounds, in an order drawn anew each time, so that what disturbs the
machine disturbs them all; among them is a bare timer loop, which shows what it does by itself.
Every value is kept in the JSON (by default none is written), for `compare` and `report`.
"""

from __future__ import annotations

import argparse
from typing import Any

from tools import soak
from tools.bench import compare, hop, live, report, scale, step, train, transport, vocoder

MEASURES = (step, hop, live, transport, scale, vocoder, soak, train, compare, report)


def add_parser(subparsers: Any) -> None:
    """Add the verb `bench`, with what it measures."""
    parser = subparsers.add_parser(
        "bench",
        help="measure the step, the hop, the true end to end; compare two runs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    measures = parser.add_subparsers(dest="measured", metavar="WHAT", required=True)
    for measure in MEASURES:
        measure.add_parser(measures)
