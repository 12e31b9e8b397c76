"""The player's process: first down to an ordinary program, then everything else.

A decoder that runs ahead of others must not have its player's imports (half a second of a core)
beside it at its own priority, least of all while a lost device is being retried.
"""

from __future__ import annotations

import os
import sys

if hasattr(os, "sched_setscheduler"):
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

from realtime.playout.process import main

if __name__ == "__main__":
    main(sys.argv[1:])
