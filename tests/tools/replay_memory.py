"""Play a whole XDF file to real outlets without waiting: what it takes of memory.

    python -m tests.tools.replay_memory FILE

Prints samples pushed and peak resident memory in MiB. The outlets are those of real time.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.replay.ahead import Ahead
from tools.replay.choice import chosen
from tools.replay.control import Control
from tools.replay.opened import open_streams
from tools.replay.packets import sizes
from tools.replay.player import open_lines, play
from tools.replay.schedule import Playing, schedule


def main(path: Path) -> None:
    with open_streams(path) as opened:
        choice = chosen(opened)
        playing = Playing(choice.streams, choice.window, sizes(choice.streams, None))
        with Ahead(schedule(playing)) as items:
            lines = open_lines([s.about for s in choice.streams], path.name, 1.0)
            play(lines, items, Control(), speed=1e6, linger_s=0.0)
    print(sum(line.carrier.pushed for line in lines), peak_mib())


def peak_mib() -> float:
    """Of this program alone: what `getrusage` says begins with what its parent held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/self/status names no peak")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
