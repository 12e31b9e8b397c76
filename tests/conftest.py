"""Isolation of Lab Streaming Layer, and one compute thread, before anything imports them.

liblsl reads its configuration once, at its first use. Each test process gets a session of its
own, on this machine only: tests never see the laboratory's streams, nor each other's.
"""

import os
import tempfile
from pathlib import Path

from tests.lsl_config import lsl_config

_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
_folder = tempfile.TemporaryDirectory(prefix="seegvox-lsl-")
_config = Path(_folder.name) / "lsl_api.cfg"
_config.write_text(lsl_config(f"t{os.getpid()}{_worker}"))
# Child processes inherit it.
os.environ["LSLAPICFG"] = str(_config)
# Tests step small networks, faster with one thread; two that wait for each other on a busy machine
# took ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.bundles import tiny_bundle  # noqa: E402 - LSLAPICFG first

__all__ = ["tiny_bundle"]
