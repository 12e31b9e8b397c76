"""The live service in a process of its own: `python -m tests.faults.live_process settings.json`.

What it tells goes to standard output, a line each, after the LSL time, and lines of standard input
are the operator's: what `seegvox live` does, without the terminal's options.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pylsl

from realtime.service import Service, stopped_by_signals
from realtime.settings import LiveSettings


def main() -> int:
    settings = LiveSettings.model_validate_json(Path(sys.argv[1]).read_text())

    def tell(line: str) -> None:
        print(f"{pylsl.local_clock():.4f} {line}", flush=True)

    service = Service(settings, tell)

    def listen() -> None:
        for line in sys.stdin:
            service.operator.give(line)

    threading.Thread(target=listen, daemon=True).start()
    with stopped_by_signals(service):
        service.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
