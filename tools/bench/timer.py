"""A bare timer loop beside a live run: how late it wakes is the machine's own tail.

    python -m tools.bench.timer SECONDS LOG.npy

It sleeps until every SECONDS are over, at the priority of the hop path, and does nothing else. The
log, `(n,)`: how late it woke, ms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from realtime.scheduling import HOP_PRIORITY, raise_priority
from tools.bench.processes import say_ready, until_terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m tools.bench.timer`."""
    period_s, log = (sys.argv[1:] if argv is None else argv)[:2]
    stop, late = until_terminated(), []
    raise_priority(HOP_PRIORITY)
    say_ready()
    due = time.monotonic()
    while not stop.is_set():
        due += float(period_s)
        while (left_s := due - time.monotonic()) > 0:
            # Not the event: waiting for it takes a lock, which is not what is measured.
            time.sleep(left_s)
        late.append(1e3 * (time.monotonic() - due))
    np.save(Path(log), np.array(late))
    return 0


if __name__ == "__main__":
    sys.exit(main())
