"""liblsl's own messages: warnings only, unless the user configured liblsl."""

from __future__ import annotations

import os
from pathlib import Path

import pylsl

_PLACES = (
    Path("lsl_api.cfg"),
    Path("~/lsl_api/lsl_api.cfg"),
    Path("/etc/lsl_api/lsl_api.cfg"),
)
_WARNINGS = "[log]\nlevel = -1\n"


def quieten(more: str = "") -> None:
    """Keep liblsl to warnings; must come before its first use.

    `more` is further text of a configuration.

    A configuration of the user's own, in a file or named by `LSLAPICFG`, is left in force whole:
    content set here would take its place.
    """
    if "LSLAPICFG" in os.environ or any(place.expanduser().exists() for place in _PLACES):
        return
    pylsl.set_config_content(_WARNINGS + more)
